"""Background work ends, is awaited, or has its failure reported."""

from __future__ import annotations

import ast
import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge import background
from edge.background import BackgroundTasks, task_health

ROOT = Path(__file__).resolve().parents[1]


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


async def test_a_service_that_fails_is_begun_again_after_pauses_that_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_MS", 1)
    tasks, begun = BackgroundTasks(), []

    async def service() -> None:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if len(begun) < 5:
            raise ValueError("not expected")

    heard: list[str] = []
    task_health().listen(heard.append)
    with capture_logs() as logs:
        await tasks.keep(service, "a service")
    assert len(begun) == 5
    assert heard == ["a service"] * 4 == [entry["task"] for entry in logs]
    assert task_health().failures["a service"] == 4
    pauses = [after - before for before, after in pairwise(begun)]
    assert all(pause >= 0.001 * 2**number for number, pause in enumerate(pauses))


async def test_health_shows_a_service_until_it_has_run_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_MS", 1)
    monkeypatch.setattr(background, "STEADY_S", 0.2)
    tasks, health, fails = BackgroundTasks(), task_health(), asyncio.Event()

    async def service() -> None:
        await fails.wait()
        fails.clear()
        raise ValueError("secret")

    tasks.keep(service)
    tasks.keep(service, "of little use", needed=False)
    await asyncio.sleep(0)
    assert (health.needed_down(), list(health.lines())) == ([], [])
    fails.set()
    await until(lambda: len(list(health.lines())) == 2)
    assert all("secret" not in line and "is down after ValueError" in line for line in health.lines())
    [needed] = health.needed_down()
    assert "service" in needed
    await until(lambda: not health.needed_down())
    await until(lambda: not any("is down" in line for line in health.lines()))
    assert all("failed in the last 10 minutes" in line for line in health.lines())
    await tasks.aclose()


async def test_a_service_that_is_cancelled_is_not_down() -> None:
    tasks = BackgroundTasks()
    with capture_logs() as logs:

        async def service() -> None:
            raise ValueError("not expected")

        tasks.keep(service)
        await until(lambda: bool(task_health().needed_down()))
        await tasks.aclose()
    assert (task_health().needed_down(), len(tasks), len(logs)) == ([], 0, 1)


async def test_who_awaits_a_task_reports_its_failure() -> None:
    tasks = BackgroundTasks()
    with capture_logs() as logs, pytest.raises(ValueError, match="not expected"):
        await tasks.start(fails(), awaited=True)
    assert (logs, task_health().failures, len(tasks)) == ([], Counter(), 0)


def test_nothing_else_starts_tasks() -> None:
    """A task that is started bare is collected while it runs, and fails in silence."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "edge").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _name(node.func) in ("create_task", "ensure_future")
    ]
    assert [place.partition(":")[0] for place in bare] == ["edge/background.py"], bare


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not happened():  # noqa: ASYNC110 (health has no event)
            await asyncio.sleep(0.01)
