"""A gate that stops judges what it has, enforces what is decided, and tells its callers last."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge.contract.gen import gate_pb2
from edge.domain import AccessUnit
from edge.errors import CapacityExceeded, WorkerLost
from edge.supervise import drain
from edge.supervise import gate as gate_module
from edge.supervise.live_stream import LiveStream
from tests.supervise.gate_without_workers import PATIENCE_S, Bench, gate_without_workers

UNIT = AccessUnit(0, 0, True, b"media", 0)


@pytest.fixture(autouse=True)
def patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for what these tests let happen, however busy the machine is."""
    monkeypatch.setattr(drain, "_SLACK_S", PATIENCE_S)
    monkeypatch.setattr(drain, "_MOST_S", PATIENCE_S)
    monkeypatch.setattr(gate_module, "_SETTLE_S", PATIENCE_S)


def blocked(bench: Bench, broadcaster: str = "anna") -> bool:
    """Whether a block of the broadcaster is on disk."""
    now = bench.gate.clock.wall_ms()
    return broadcaster in {block.subject for block in bench.ledger.active_blocks(now)}


async def called(bench: Bench, connection: str = "7", broadcaster: str = "anna") -> LiveStream:
    """A stream whose media a caller pushes, open in a worker."""
    admission = await bench.admit(connection, f"show{connection}", broadcaster)
    caller = bench.caller(admission.stream_id)
    return bench.gate.router.open_push(admission.stream_id, "h264", b"", caller)


async def answers_of(stream: LiveStream) -> list[Any]:
    """What the caller is told, until its call ends: an action, or the error at the end."""
    assert stream.responses is not None
    responses, told = stream.responses, []
    while (answer := await responses.get()) is not None:
        told.append(answer.verdict.action)
    return [*told, responses.error]


async def test_a_verdict_after_the_signal_blocks_and_its_caller_hears_of_it_before_the_end(
    tmp_path: Path,
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream, other = await called(bench), await called(bench, "8", "berta")
        told = asyncio.create_task(answers_of(stream)), asyncio.create_task(answers_of(other))
        bench.gate._drain.hear_s = 0
        stop = asyncio.create_task(bench.gate.stop())
        # The worker is told to judge the rest before anything else ends.
        await bench.until(lambda: bench.workers.sent_to(stream.id)[-1:] == ["close"])
        assert bench.workers.sent[-1][1].close.drain
        assert not any(task.done() for task in told)
        assert not (await bench.admit("9", "late")).allowed
        bench.judged(stream.id)
        bench.server.gone = True
        bench.closed(other.id, "end", retryable=False)
        await asyncio.wait_for(stop, PATIENCE_S)
        assert blocked(bench)
        assert await told[0] == [gate_pb2.ACTION_CUT, None]
        [error] = await told[1]
        assert isinstance(error, CapacityExceeded), "a clean end would say that no more media is needed"


async def test_media_that_is_on_its_way_is_still_heard(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await called(bench)
        bench.gate._drain.hear_s = 30
        stop = asyncio.create_task(bench.gate.stop())
        await bench.until(lambda: bench.gate._context.draining)
        bench.gate.router.intake.push(stream, UNIT)
        assert [unit.data for _, unit in bench.workers.units] == [b"media"]
        bench.server.gone = True
        bench.judged(stream.id)  # and so it need not hear for so long
        await asyncio.wait_for(stop, PATIENCE_S)
        assert blocked(bench)


async def test_what_comes_later_is_not_taken_and_nothing_is_opened_any_more(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await called(bench)
        waiting = await bench.admit("8", "other", "berta")
        bench.gate._drain.hear_s = 0
        stop = asyncio.create_task(bench.gate.stop())
        await bench.until(lambda: bench.workers.sent_to(stream.id)[-1:] == ["close"])
        assert not bench.gate.router.intake.push(stream, UNIT)
        assert not bench.workers.units
        with pytest.raises(CapacityExceeded, match="stopping"):
            bench.gate.router.open_push(waiting.stream_id, "h264", b"", bench.caller(waiting.stream_id))
        await bench.gate.attach(waiting.stream_id, "rtmp://127.0.0.1/live/other")
        assert not bench.pullers.pulls
        bench.closed(stream.id, "end", retryable=False)
        await asyncio.wait_for(stop, PATIENCE_S)


async def test_a_pulled_stream_is_judged_to_its_end_and_not_pulled_again(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        bench.gate._drain.hear_s = 0
        stop = asyncio.create_task(bench.gate.stop())
        await bench.until(lambda: bench.workers.sent_to(stream_id)[-1:] == ["close"])
        [pull] = bench.pullers.pulls_of(stream_id)
        assert pull.stopped
        bench.closed(stream_id, "end", retryable=False)
        await asyncio.wait_for(stop, PATIENCE_S)
        assert bench.pullers.pulls_of(stream_id) == [pull]


async def test_a_worker_that_dies_meanwhile_does_not_lose_the_rest(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await called(bench)
        bench.gate.router.intake.push(stream, UNIT)
        bench.gate._drain.hear_s = 0
        stop = asyncio.create_task(bench.gate.stop())
        await bench.until(lambda: bench.workers.sent_to(stream.id)[-1:] == ["close"])
        bench.gate.router.ends.streams_lost((stream.id,), None)
        await bench.until(lambda: bench.workers.sent_to(stream.id)[-2:] == ["open_push", "close"])
        bench.server.gone = True
        bench.judged(stream.id)
        await asyncio.wait_for(stop, PATIENCE_S)
        assert blocked(bench)


async def test_a_stream_that_nobody_judges_holds_up_nothing(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await bench.admit("7", "show")
        bench.pullers.open_at_once = False
        pulled = (await bench.admit("8", "other", "berta")).stream_id
        await bench.gate.attach(pulled, "rtmp://127.0.0.1/live/other")
        bench.gate._drain.hear_s = 3600
        await asyncio.wait_for(bench.gate.stop(), PATIENCE_S)


async def test_a_failure_of_the_gate_while_it_drains_is_told_with_the_end(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await called(bench)
        told = asyncio.create_task(answers_of(stream))
        bench.gate._drain.hear_s = 0
        stop = asyncio.create_task(bench.gate.stop())
        await bench.until(lambda: bench.workers.sent_to(stream.id)[-1:] == ["close"])
        bench.closed(stream.id, WorkerLost.reason, retryable=True)
        await asyncio.wait_for(stop, PATIENCE_S)
        assert isinstance((await told)[-1], CapacityExceeded)
