"""Streams that end, or seem to end, while a decision on them is pending."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.domain import Action
from edge.errors import NotFound, SourceStalled, WorkerLost
from edge.reasons import EndReason
from edge.supervise import enforcer as enforcement_module
from edge.supervise import gate as gate_module
from edge.supervise.stream_life import State
from tests.supervise.gate_without_workers import PATIENCE_S, SERVER, gate_without_workers

URL = "rtmp://127.0.0.1/live/show"
UNEXPECTED = (RuntimeError("can't start new thread"),) * 3
"""An error that no ledger is expected to raise."""


async def test_what_a_worker_still_has_of_a_publisher_who_left_is_judged_and_counts(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        await bench.gate.publish_ended(SERVER, "7", "live", "show")
        close = bench.workers.sent[-1][1].close
        assert close.drain
        # Later media may be another publisher's.
        [pull] = bench.pullers.pulls_of(stream_id)
        assert pull.stopped
        # The server may reuse the reference at once.
        other = await bench.admit("7", "other", "berta")
        assert other.allowed
        assert other.stream_id != stream_id
        bench.judged(stream_id)
        await bench.until(lambda: not (_ := bench.gate.registry.find(stream_id)))
        assert not (await bench.admit("8", "show")).allowed
        (incident,) = bench.ledger.incidents(limit=10)
        assert incident.confirmed_by == "hook"
        assert bench.server.asked == []
        assert (await bench.admit("9", "third", "berta")).allowed


async def test_a_publisher_who_left_is_forgotten_once_all_is_judged_or_after_a_second(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        await bench.gate.publish_ended(SERVER, "7", "live", "show")
        bench.closed(stream_id, "end", retryable=False)
        assert bench.gate.registry.find(stream_id) is None
        assert bench.workers.sent_to(stream_id) == ["open_push", "close"]
        silent = await bench.watched()
        await bench.gate.publish_ended(SERVER, "7", "live", "show")
        assert bench.gate.registry.find(silent) is not None
        await bench.until(lambda: bench.gate.registry.find(silent) is None)


async def test_a_publisher_who_left_is_not_pulled_again_when_its_worker_is_lost_or_a_hook_asks(
    tmp_path: Path,
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        await bench.gate.publish_ended(SERVER, "7", "live", "show")
        assert not await bench.gate.pull_anew(stream_id)
        with pytest.raises(NotFound):
            bench.gate.router.attach_call(stream_id, URL, bench.caller(stream_id))
        bench.gate._worker_events.on_streams_lost((stream_id,), None)
        assert bench.gate.registry.find(stream_id) is None
        assert bench.workers.sent_to(stream_id).count("open_push") == 1
        [pull] = bench.pullers.pulls_of(stream_id)
        assert pull.stopped


@pytest.mark.parametrize("end", ["closed", "worker-lost", "not-open"])
async def test_a_detached_call_ends_whatever_its_worker_does(end: str, tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.pullers.open_at_once = end != "not-open"
        stream_id = (await bench.admit("7", "show")).stream_id
        stream = bench.gate.router.attach_call(
            stream_id, "rtmp://127.0.0.1/live/show", bench.caller(stream_id)
        )
        if end != "not-open":
            await bench.until(lambda: bench.workers.sent_to(stream_id))
        bench.gate.router.detach(stream_id, EndReason("had enough"), bench.caller(stream_id))
        [pull] = bench.pullers.pulls_of(stream_id)
        assert pull.stopped
        assert bench.workers.sent_to(stream_id) == ([] if end == "not-open" else ["open_push", "close"])
        assert stream.responses is not None
        assert stream.responses.closed == (end == "not-open")
        if end == "closed":
            bench.closed(stream_id, "detached", retryable=False)
        elif end == "worker-lost":
            bench.gate._worker_events.on_streams_lost((stream_id,), None)
        assert stream.responses.closed
        assert stream.responses.error is None


async def test_a_call_that_no_worker_takes_leaves_the_stream_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = (await bench.admit("7", "show")).stream_id
        router = bench.gate.router
        with monkeypatch.context() as lost:
            lost.setattr(bench.workers, "assign", lambda stream_id: None)
            with pytest.raises(WorkerLost):
                router.open_push(stream_id, "h264", b"", bench.caller(stream_id))
        assert router.open_push(stream_id, "h264", b"", bench.caller(stream_id)).life.state is State.WATCHED


async def test_a_second_publish_on_a_connection_takes_nothing_from_the_first(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        first = (await bench.admit("7", "show")).stream_id
        assert (await bench.admit("7", "other")).reason == "already_live"
        await bench.gate.attach(first, "rtmp://127.0.0.1/live/show")
        assert (await bench.admit("7", "other")).reason == "already_live"
        assert (await bench.admit("7", "show", "berta")).reason == "already_live"
        assert (await bench.admit("7", "show")).stream_id == first
        # A stream that can no longer be pulled is over, and the server has restarted its numbering.
        await bench.until(lambda: bench.workers.sent_to(first) == ["open_push"])
        await bench.pull_ends(first, SourceStalled("no video"))
        await bench.until(lambda: bench.workers.sent_to(first) == ["open_push", "close", "open_push"])
        assert (await bench.admit("7", "other")).allowed
        assert bench.gate.registry.find(first) is None


@pytest.mark.parametrize("reason", ["broken_media", "limit_exceeded", "unsupported_codec", "internal"])
async def test_a_pulled_stream_is_looked_at_again_whatever_its_media_did(reason: str, tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        bench.closed(stream_id, reason, retryable=False)
        await bench.until(lambda: bench.workers.sent_to(stream_id) == ["open_push", "open_push"])
        stale, running = bench.pullers.pulls_of(stream_id)
        assert stale.stopped
        assert not running.stopped


async def test_a_violation_that_cannot_be_recorded_for_any_reason_is_blocked_and_cut_and_gets_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enforcement_module, "RETRY_S", 0.05)
    async with gate_without_workers(tmp_path) as bench:
        tries = bench.ledger.fail("record_violation", *UNEXPECTED)
        stream_id = await bench.watched()
        bench.judged(stream_id)
        await bench.until(lambda: bench.server.asked)
        assert (await bench.admit("8", "show")).reason == "blocked"
        bench.server.gone = True
        await bench.until(lambda: bench.gate.registry.find(stream_id) is None)
        await bench.until(lambda: bench.ledger.incidents(limit=10))
        assert len(tries) == 4


async def test_a_flag_that_cannot_be_recorded_is_tried_until_people_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enforcement_module, "RETRY_S", 0.05)
    async with gate_without_workers(tmp_path) as bench:
        tries = bench.ledger.fail("record_incident", *UNEXPECTED)
        bench.judged(await bench.watched(), Action.FLAG)
        await bench.until(lambda: bench.ledger.incidents(limit=10))
        assert len(tries) == 4


async def test_verdicts_that_come_while_the_gate_stops_get_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "_SETTLE_S", PATIENCE_S)
    async with gate_without_workers(tmp_path) as bench:
        streams = [await bench.watched(str(n), f"show{n}", f"person{n}") for n in range(6)]
        bench.judged(streams[0])
        await bench.until(lambda: bench.server.asked)
        stopping = asyncio.create_task(bench.gate.stop())
        await asyncio.sleep(0.05)
        bench.server.gone = True
        for stream_id in streams[1:]:
            bench.judged(stream_id)
        await stopping
        assert len(bench.ledger.incidents(limit=10)) == 6
