"""Background work ends, is awaited, or has its failure reported."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from edge.background import BackgroundTasks


async def fails() -> None:
    raise ValueError("not expected")


async def test_a_failure_is_logged_with_its_name_and_traceback() -> None:
    tasks = BackgroundTasks()
    with capture_logs() as logs:
        for task in (tasks.start(fails()), tasks.start(fails(), "a sweep")):
            await asyncio.wait({task})
        await asyncio.sleep(0)
    assert [entry["task"] for entry in logs] == ["fails", "a sweep"]
    assert all(isinstance(entry["exc_info"], ValueError) for entry in logs)
    assert not len(tasks)


async def test_a_result_is_still_there_for_who_asks() -> None:
    tasks = BackgroundTasks()
    assert await tasks.start(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="not expected"):
        await tasks.start(fails())


async def test_closing_cancels_and_waits() -> None:
    tasks = BackgroundTasks()
    ended = []

    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    with capture_logs() as logs:
        tasks.start(slow_to_end())
        await asyncio.sleep(0)
        assert len(tasks) == 1
        await tasks.aclose()
        await tasks.aclose()
    assert (ended, len(tasks), logs) == ([True], 0, [])


async def test_settling_waits_for_what_begins_meanwhile() -> None:
    tasks = BackgroundTasks()
    done = []

    async def chain(left: int) -> None:
        await asyncio.sleep(0.01)
        done.append(left)
        if left:
            tasks.start(chain(left - 1))

    tasks.start(chain(2))
    await tasks.settle(10)
    assert done == [2, 1, 0]


async def test_settling_cancels_what_takes_too_long() -> None:
    tasks = BackgroundTasks()
    task = tasks.start(asyncio.sleep(60))
    await tasks.settle(0.01)
    await asyncio.wait({task})
    assert task.cancelled()
