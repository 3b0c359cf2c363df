"""One incident a stream and kind of activity, in the ledger, over reviews and over a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import Action, Incident, IncidentState
from edge.policy import Mode, Policy
from edge.supervise.response_queue import ResponseQueue
from edge.telemetry.records import Flagged, FlaggedAgain
from tests.supervise.gate_without_workers import PATIENCE_S, Bench, gate_without_workers

ENFORCE = Policy(mode=Mode.ENFORCE)


def flagged(bench: Bench, stream_id: str, pts_ms: int, score: float, *, shadow: bool = False) -> None:
    signal = gate_pb2.Signal(source="detect", category="fight", pts_ms=pts_ms, score=score, distance=-1)
    action = gate_pb2.ACTION_FLAG
    verdict = gate_pb2.Verdict(
        action=gate_pb2.ACTION_PASS if shadow else action,
        shadow_action=action if shadow else gate_pb2.ACTION_UNSPECIFIED,
        category="fight",
        reason="detector",
        score=score,
        pts_ms=pts_ms,
        signals=[signal],
    )
    judged = worker_pb2.Judged(stream_id=stream_id, verdict=verdict, shadow=shadow)
    bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))


def goes_on(bench: Bench, stream_id: str, pts_ms: int, score: float) -> None:
    sign = gate_pb2.Signal(source="detect", category="fight", pts_ms=pts_ms, score=score, distance=-1)
    verdict = gate_pb2.Verdict(action=gate_pb2.ACTION_PASS, pts_ms=pts_ms)
    judged = worker_pb2.Judged(stream_id=stream_id, verdict=verdict, going_on=[sign])
    bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))


def on_record(bench: Bench) -> tuple[Incident, ...]:
    return bench.ledger.incidents()


async def test_a_flood_of_flags_is_one_incident(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        stream_id = await bench.watched()
        for number in range(16):
            flagged(bench, stream_id, number * 5_600, 0.5 + number / 100)
            goes_on(bench, stream_id, number * 5_600 + 400, 0.97 if number == 3 else 0.3)
        await bench.until(lambda: len(bench.recorded.of(FlaggedAgain)) == 15)
        assert len(bench.recorded.of(Flagged)) == 1
        await bench.until(lambda: on_record(bench))
        bench.gate._enforcer.ongoing.finish()
        await bench.until(lambda: on_record(bench)[0].activity.verdicts == 16)  # type: ignore[union-attr]
        [incident] = on_record(bench)
        assert incident.activity is not None
        assert (incident.activity.start_pts_ms, incident.activity.end_pts_ms) == (0, 15 * 5_600 + 400)
        assert incident.activity.peak_score == 0.97
        assert [entry.what for entry in bench.ledger.audit_rows()].count("incident") == 1
        assert bench.ledger.audit_verify()


async def test_two_streams_have_an_incident_each(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        for connection in ("7", "8"):
            stream_id = await bench.watched(connection, name=connection)
            flagged(bench, stream_id, 0, 0.6)
        await bench.until(lambda: len(on_record(bench)) == 2)


async def test_a_flag_after_a_decision_opens_another_incident(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        stream_id = await bench.watched()
        flagged(bench, stream_id, 0, 0.6)
        await bench.until(lambda: on_record(bench))
        [first] = on_record(bench)
        bench.ledger.review(first.id, IncidentState.OVERTURNED, "a dance", "eva", 1, ENFORCE)
        flagged(bench, stream_id, 400, 0.6)
        flagged(bench, stream_id, 800, 0.6)
        await bench.until(lambda: len(on_record(bench)) == 2 and bench.recorded.of(FlaggedAgain))
        assert len(bench.recorded.of(Flagged)) == 2


async def test_the_end_of_a_stream_puts_on_record_how_long_it_went_on(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        stream_id = await bench.watched()
        flagged(bench, stream_id, 0, 0.6)
        goes_on(bench, stream_id, 7_000, 0.9)
        await bench.until(lambda: on_record(bench))
        await bench.gate.publish_ended("pulled", "7", "live", "show")
        bench.closed(stream_id, "end", retryable=False)
        await bench.until(lambda: bench.gate.registry.find(stream_id) is None)
        bench.gate._enforcer.ongoing.sweep()
        await bench.until(lambda: on_record(bench)[0].activity.end_pts_ms == 7_000)  # type: ignore[union-attr]


async def test_an_incident_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        stream_id = await bench.watched()
        flagged(bench, stream_id, 0, 0.6)
        await bench.until(lambda: on_record(bench))
        found = bench.ledger.going_on(0)
        assert [incident.id for incident in found] == [on_record(bench)[0].id]
        assert bench.ledger.going_on(on_record(bench)[0].created_ms + 1) == ()
        bench.gate._enforcer.ongoing._of_stream.clear()  # as a new process begins
        bench.gate._enforcer.ongoing.restore(found)
        flagged(bench, stream_id, 500, 0.7)
        await bench.until(lambda: bench.recorded.of(FlaggedAgain))
        assert len(on_record(bench)) == 1


async def test_withheld_verdicts_are_one_incident_too(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        flagged(bench, stream_id, 0, 0.6, shadow=True)
        flagged(bench, stream_id, 500, 0.7, shadow=True)
        await bench.until(lambda: bench.recorded.of(FlaggedAgain))
        await bench.until(lambda: on_record(bench))
        [incident] = on_record(bench)
        assert (incident.verdict.action, incident.verdict.shadow) == (Action.FLAG, True)


async def test_what_goes_on_after_its_flag_is_not_called_passed(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        stream_id = await bench.watched()
        stream = bench.gate.registry.get(stream_id)
        stream.responses = ResponseQueue(10)
        goes_on(bench, stream_id, 0, 0.9)
        before = await stream.responses.get()
        assert before is not None
        assert before.verdict.going_on_incident_id == ""
        flagged(bench, stream_id, 400, 0.6)
        flag = await asyncio.wait_for(stream.responses.get(), PATIENCE_S)
        assert flag is not None
        assert stream.action is Action.FLAG
        goes_on(bench, stream_id, 800, 0.4)
        after = await stream.responses.get()
        assert after is not None
        assert after.verdict.action == gate_pb2.ACTION_PASS
        assert after.verdict.going_on_incident_id == flag.verdict.incident_id != ""
        assert stream.action is Action.FLAG, "as operators see it, the stream is flagged still"


async def test_shadow_tells_no_caller_what_goes_on(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        stream_id = await bench.watched()
        stream = bench.gate.registry.get(stream_id)
        stream.responses = ResponseQueue(10)
        flagged(bench, stream_id, 0, 0.6, shadow=True)
        goes_on(bench, stream_id, 400, 0.6)
        answers = [await stream.responses.get() for _ in range(2)]
        assert [answer and answer.verdict.going_on_incident_id for answer in answers] == ["", ""]
