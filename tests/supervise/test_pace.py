"""Nobody is read faster than the media plays, and lies about its time are told, recorded and harmless."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.clock import ManualClock
from edge.contract.gate import ALL_NEEDED_MS
from edge.contract.gen import gate_pb2, worker_pb2
from edge.supervise.live_stream import LiveStream
from edge.telemetry.records import TimestampsWrong
from tests.supervise.gate_without_workers import Bench, gate_without_workers
from tests.supervise.test_unwatchable_streams import pushed

LEAD_MS = 10_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Time that passes only while the gate waits for a publisher's media."""
    clock = ManualClock()

    async def sleep(seconds: float) -> None:
        clock.advance_ms(1000 * seconds)

    waiting = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    monkeypatch.setattr("edge.supervise.media_intake.asyncio", waiting)
    return clock


async def flooded(bench: Bench, clock: ManualClock, units: int, step_ms: int) -> LiveStream:
    """A stream whose units come as fast as they are read."""
    stream = await pushed(bench)
    bench.gate.router._context.clock = clock
    for number in range(units):
        unit = gate_pb2.AccessUnit(
            pts_ms=step_ms * number, dts_ms=step_ms * number, keyframe=number % 30 == 0, data=b"\0\0\0\1x"
        )
        if bench.gate.router.intake.push(stream, unit):
            await bench.gate.router.intake.drained(stream)
    return stream


@pytest.mark.parametrize(("step_ms", "least_s"), [(33, 18), (0, 4)])
async def test_media_is_read_no_faster_than_it_plays(
    tmp_path: Path, clock: ManualClock, step_ms: int, least_s: int
) -> None:
    """30 s of media, after a lead of ten; 900 frames without stamps count as a camera's of 60 a second."""
    async with gate_without_workers(tmp_path) as bench:
        await flooded(bench, clock, 900, step_ms)
    assert least_s <= clock.now_monotonic_ms / 1000 <= least_s + 2


async def test_a_flood_of_audio_is_read_at_sixty_messages_a_second(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Whatever its stamps say. What a stream sends otherwise, two a second, delays no video."""
    async with gate_without_workers(tmp_path) as bench:
        stream = await flooded(bench, clock, 1, 33)
        units = [gate_pb2.AudioUnit(pts_ms=7, data=b"x")] * 129
        for number in range(1800):
            if bench.gate.router.intake.push_audio(stream, gate_pb2.AudioUnits(codec="aac", units=units)):
                assert number > 300
                await bench.gate.router.intake.drained(stream)
    assert 18 <= clock.now_monotonic_ms / 1000 <= 22


async def test_a_new_call_begins_without_a_lead_of_its_own(tmp_path: Path, clock: ManualClock) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await flooded(bench, clock, 400, 33)
        begun_ms = clock.now_monotonic_ms
        assert stream.responses is not None
        bench.gate.router.call_ended(stream, stream.responses)
        stream = bench.gate.router.open_push(stream.id, "h264", b"", bench.caller(stream.id))
        for number in range(90):
            unit = gate_pb2.AccessUnit(
                pts_ms=33 * number, dts_ms=33 * number, keyframe=not number, data=b"\0\0\0\1x"
            )
            if bench.gate.router.intake.push(stream, unit):
                await bench.gate.router.intake.drained(stream)
        assert clock.now_monotonic_ms - begun_ms > 2000


async def test_a_lie_is_told_once_a_minute_and_recorded(tmp_path: Path, clock: ManualClock) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await flooded(bench, clock, 300, 0)
        told = [a.degraded for a in stream.responses._queue if a.HasField("degraded")]  # type: ignore[union-attr]
        assert [(d.reason, d.detail) for d in told] == [("timestamps", "timestamps stand still")]
        assert [r.how for r in bench.recorded.of(TimestampsWrong)] == ["stand_still"]
        notice = worker_pb2.Notice(
            stream_id=stream.id, degraded=gate_pb2.Degraded(reason="timestamps", count=1)
        )
        bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(notice=notice))
        assert [r.how for r in bench.recorded.of(TimestampsWrong)] == ["stand_still", "out_of_order"]


async def test_whose_stamps_lie_is_asked_for_all_of_its_media(tmp_path: Path, clock: ManualClock) -> None:
    """A caller that leaves out what a calm stream does not need measures that by the stamps."""
    async with gate_without_workers(tmp_path) as bench:
        stream = await flooded(bench, clock, 1, 0)
        calm = gate_pb2.TierChange(tier=gate_pb2.TIER_KIND_CALM, needed_after_keyframe_ms=220)
        event = worker_pb2.FromWorker(tier_changed=worker_pb2.TierChanged(stream_id=stream.id, tier=calm))
        bench.gate._worker_events.on_worker_event(event)
        for number in range(60):
            clock.advance_ms(33)
            bench.gate.router.intake.push(
                stream, gate_pb2.AccessUnit(pts_ms=7, dts_ms=7, keyframe=not number, data=b"x")
            )
        bench.gate._worker_events.on_worker_event(event)
        answers = list(stream.responses._queue)  # type: ignore[union-attr]
        assert [a.WhichOneof("response") for a in answers] == ["opened", "degraded", "tier", "tier"]
        asked = [
            a.opened.tier if a.HasField("opened") else a.tier for a in answers if not a.HasField("degraded")
        ]
        assert [change.needed_after_keyframe_ms for change in asked] == [220, ALL_NEEDED_MS, ALL_NEEDED_MS]


async def test_a_watermark_covers_nothing_that_repeats_a_judged_stamp(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await flooded(bench, clock, 0, 0)
        arrivals = []
        for _ in range(20):
            clock.advance_ms(33)
            arrivals.append(clock.now_monotonic_ms)
            bench.gate.router.intake.push(
                stream, gate_pb2.AccessUnit(pts_ms=7, dts_ms=7, keyframe=True, data=b"x")
            )
        media = [unit.pts_ms for unit in stream.media.units()]  # type: ignore[union-attr]
        verdict = gate_pb2.Verdict(action=gate_pb2.ACTION_PASS, pts_ms=media[9])
        judged = worker_pb2.Judged(
            stream_id=stream.id, verdict=verdict, cleared_pts_ms=media[9], arrival_ms=arrivals[9]
        )
        bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))
        answer = stream.responses._queue[-1]  # type: ignore[union-attr]
        assert (answer.cleared_units, answer.cleared_pts_ms, answer.verdict.pts_ms) == (10, 6, 7)


_LOW, _HIGH = -(1 << 63), (1 << 63) - 1


@pytest.mark.parametrize("pts_ms", [_LOW, _LOW + 1, _HIGH])
@pytest.mark.parametrize("dts_ms", [_LOW, 0, _HIGH])
async def test_no_stamp_is_too_large_for_an_answer(tmp_path: Path, pts_ms: int, dts_ms: int) -> None:
    """A message holds 64 bits, and what is said of a stamp lies beyond it."""
    async with gate_without_workers(tmp_path) as bench:
        stream = await pushed(bench)
        for _ in range(3):
            bench.gate.router.intake.push(
                stream, gate_pb2.AccessUnit(pts_ms=pts_ms, dts_ms=dts_ms, keyframe=True, data=b"x")
            )
            sound = gate_pb2.AudioUnit(pts_ms=-1 - pts_ms, data=b"x")
            bench.gate.router.intake.push_audio(stream, gate_pb2.AudioUnits(codec="aac", units=[sound]))
        [first, *_, last] = stream.media.units()  # type: ignore[union-attr]
        signal = gate_pb2.Signal(pts_ms=last.pts_ms, begin_pts_ms=first.pts_ms)
        verdict = gate_pb2.Verdict(action=gate_pb2.ACTION_PASS, pts_ms=first.pts_ms, signals=[signal])
        judged = worker_pb2.Judged(
            stream_id=stream.id, verdict=verdict, cleared_pts_ms=first.pts_ms, arrival_ms=1e12
        )
        bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))
        answer = stream.responses._queue[-1]  # type: ignore[union-attr]
        assert answer.WhichOneof("response") == "verdict"
        assert answer.cleared_units >= 1
