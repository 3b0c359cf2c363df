"""What the publisher sent ends the watching: the stream is cut without a strike, no failure mode applies."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import Action, Incident
from edge.errors import BrokenMedia, BrokenSource, Fault, GateError, LimitExceeded, NoVideo, SourceStalled
from edge.policy import FailureMode, FailurePolicy, Mode, Policy
from edge.reasons import VerdictReason
from edge.reopenings import PER_MINUTE
from edge.supervise.live_stream import LiveStream
from edge.telemetry.records import CutDecided, FailureModeUsed, Flagged, WatchingFailed
from edge.workers.closing import Closing
from tests.supervise.gate_without_workers import Bench, gate_without_workers

URL = "rtmp://127.0.0.1/live/attached"
LIMITED = LimitExceeded("extradata", 65_536, 70_000, "bytes")
PUSHED = [LIMITED, BrokenMedia("h264: nothing decodable in 60 access units")]


def close(bench: Bench, stream_id: str, error: GateError) -> None:
    stream = bench.gate.registry.get(stream_id)
    closed = Closing.by(error, retryable=False).to_proto(stream_id, stream.opening)
    bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(closed=closed))


async def pushed(bench: Bench, extradata: bytes = b"", codec: str = "h264") -> LiveStream:
    stream_id = (await bench.admit("9", "pushed")).stream_id
    return bench.gate.router.open_push(stream_id, codec, extradata, bench.caller(stream_id))


async def told(stream: LiveStream) -> list[gate_pb2.WatchResponse]:
    """All that the call is told until it ends."""
    answers = []
    assert stream.responses is not None
    while (answer := await stream.responses.get()) is not None:
        answers.append(answer)
    return answers


async def on_record(bench: Bench) -> Incident:
    await bench.until(lambda: bench.ledger.incidents())
    [incident] = bench.ledger.incidents()
    return incident


@pytest.mark.parametrize("by", ["worker", "puller"])
@pytest.mark.parametrize("error", PUSHED, ids=["limit", "broken"])
async def test_a_pull_that_fails_for_its_media_is_cut_at_once_and_not_pulled_again(
    tmp_path: Path, error: GateError, by: str
) -> None:
    """``on_gate_degraded = allow`` is for failures of the gate."""
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        if by == "worker":
            close(bench, stream_id, error)
        else:
            await bench.pull_ends(stream_id, error)
        assert bench.gate.registry.get(stream_id).cutting
        await bench.until(lambda: bench.server.asked)
        assert bench.workers.sent_to(stream_id).count("open_push") == 1
        [pull] = bench.pullers.pulls_of(stream_id)
        assert pull.stopped
        assert not bench.recorded.of(FailureModeUsed)
        [failed] = bench.recorded.of(WatchingFailed)
        assert failed.reason == error.reason
        assert str(error) in failed.detail
        incident = await on_record(bench)
        assert (incident.verdict.reason, incident.verdict.action) == ("unwatchable", Action.CUT)
        [signal] = incident.verdict.signals
        assert (signal.category, signal.detail) == (error.reason, failed.detail)
        assert not bench.ledger.strikes_of("anna")
        assert (await bench.admit("8", "again")).allowed
        bench.server.gone = True


@pytest.mark.parametrize("error", PUSHED, ids=["limit", "broken"])
async def test_a_push_call_is_told_cut_and_ends_with_the_publishers_fault(
    tmp_path: Path, error: GateError
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await pushed(bench)
        close(bench, stream.id, error)
        answers = await told(stream)
        assert answers[-1].verdict.action == gate_pb2.ACTION_CUT
        assert answers[-1].verdict.incident_id == stream.incident_id
        assert answers[-1].verdict.message.en
        assert stream.responses is not None
        assert stream.responses.error is not None
        assert stream.responses.error.fault is Fault.PUBLISHER
        bench.gate.confirm_cut(stream.id, 0, bench.caller(stream.id))


async def test_an_access_unit_over_the_limit_ends_the_stream_with_what_came_before_as_evidence(
    tmp_path: Path,
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await pushed(bench)
        limit = bench.gate.settings.limits.max_access_unit_bytes
        for index, size in enumerate((100, limit, limit + 1, 100)):
            unit = gate_pb2.AccessUnit(pts_ms=40 * index, dts_ms=40 * index, keyframe=True, data=bytes(size))
            bench.gate.router.intake.push(stream, unit)
        answers = await told(stream)
        assert answers[-1].verdict.action == gate_pb2.ACTION_CUT
        sent = bench.workers.sent_to(stream.id)
        assert sent.index("evidence_media") < sent.index("save_evidence")
        assert "access_unit.data" in (await on_record(bench)).verdict.signals[0].detail
        bench.gate.confirm_cut(stream.id, 0, bench.caller(stream.id))


async def test_what_a_caller_cannot_pass_on_ends_the_stream(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await pushed(bench)
        for _ in range(2):
            bench.gate.router.caller_cannot_pass_on(stream, "too large for gRPC")
        answers = await told(stream)
        assert [answer.verdict.action for answer in answers[-1:]] == [gate_pb2.ACTION_CUT]
        assert "too large for gRPC" in (await on_record(bench)).verdict.signals[0].detail
        bench.gate.confirm_cut(stream.id, 0, bench.caller(stream.id))


@pytest.mark.parametrize(
    ("codec", "extradata", "field"),
    [("h264", bytes(65_537), "open.extradata"), ("x" * 17, b"", "open.codec")],
)
async def test_a_stream_that_cannot_be_opened_is_cut_too(
    tmp_path: Path, codec: str, extradata: bytes, field: str
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await pushed(bench, extradata, codec)
        answers = await told(stream)
        assert answers[-1].verdict.action == gate_pb2.ACTION_CUT
        assert field in str(stream.responses and stream.responses.error)
        assert not bench.workers.sent_to(stream.id)
        assert (await on_record(bench)).verdict.reason == VerdictReason.UNWATCHABLE
        bench.gate.confirm_cut(stream.id, 0, bench.caller(stream.id))


async def test_media_that_ends_workers_is_cut(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        bench.gate._worker_events.on_streams_lost((stream_id,), stream_id)
        assert bench.gate.registry.get(stream_id).cutting
        [decided] = bench.recorded.of(CutDecided)
        assert decided.verdict.reason is VerdictReason.QUARANTINED
        assert not bench.recorded.of(FailureModeUsed)
        assert bench.workers.sent_to(stream_id).count("open_push") == 1
        [pull] = bench.pullers.pulls_of(stream_id)
        assert pull.stopped
        bench.server.gone = True


async def test_a_damaged_source_is_opened_anew_a_few_times_and_no_more(tmp_path: Path) -> None:
    """A server that stumbles damages it as well as a publisher; a publisher could do so for ever."""
    async with gate_without_workers(tmp_path) as bench:
        stream_id = (await bench.admit("9", "attached")).stream_id
        stream = bench.gate.router.attach_call(
            stream_id, "rtmp://127.0.0.1/live/attached", bench.caller(stream_id)
        )
        for number in range(PER_MINUTE + 1):
            assert not stream.cutting
            await bench.until(lambda: bench.workers.sent_to(stream_id)[-1:] == ["open_push"])
            assert bench.workers.sent_to(stream_id).count("open_push") == number + 1
            await bench.pull_ends(stream_id, BrokenSource("half a tag"))
        assert stream.cutting
        assert len(bench.pullers.pulls_of(stream_id)) == PER_MINUTE + 1
        assert not bench.recorded.of(FailureModeUsed)
        bench.gate.confirm_cut(stream.id, 0, bench.caller(stream.id))


@pytest.mark.parametrize("mode", list(FailureMode))
async def test_the_gates_own_faults_are_for_the_failure_mode(tmp_path: Path, mode: FailureMode) -> None:
    policy = Policy(failure=FailurePolicy(on_gate_degraded=mode))
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await bench.watched()
        await bench.pull_ends(stream_id, SourceStalled("no video for 10000 ms"))
        assert bench.recorded.of(FailureModeUsed) == [FailureModeUsed("on_gate_degraded", mode.value)]
        assert bench.gate.registry.get(stream_id).cutting == (mode is FailureMode.DENY)
        bench.server.gone = True


async def test_shadow_mode_records_it_and_ends_the_call_without_an_error(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, Policy(mode=Mode.SHADOW)) as bench:
        stream = await pushed(bench)
        close(bench, stream.id, LIMITED)
        assert all(not answer.HasField("verdict") for answer in await told(stream))
        assert stream.responses is not None
        assert stream.responses.error is None
        assert not stream.cutting
        await bench.until(lambda: bench.recorded.of(Flagged))
        [flagged] = bench.recorded.of(Flagged)
        assert flagged.incident.verdict.shadow


async def test_no_publisher_that_has_left_is_cut(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream = await pushed(bench)
        stream.life.caller_left()
        close(bench, stream.id, PUSHED[1])
        assert not stream.cutting
        await bench.until(lambda: bench.recorded.of(Flagged))
        [flagged] = bench.recorded.of(Flagged)
        assert flagged.incident.verdict.action is Action.FLAG


@pytest.mark.parametrize("mode", FailureMode)
async def test_a_pull_that_brings_audio_and_no_video_is_cut_unless_the_policy_lets_it_go_on(
    tmp_path: Path, mode: FailureMode
) -> None:
    """``on_gate_degraded`` has no say: the publisher sends what it likes."""
    policy = Policy(failure=FailurePolicy(on_no_video=mode))
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await bench.watched()
        no_video = NoVideo("no video within 5000 ms (audio only)")
        await bench.pull_ends(stream_id, no_video)
        await bench.until(lambda: bench.workers.sent_to(stream_id).count("open_push") == 2)
        assert not bench.recorded.of(FailureModeUsed), "the first video may be late"
        await bench.pull_ends(stream_id, no_video)
        await bench.until(lambda: bench.recorded.of(FailureModeUsed))
        assert bench.gate.registry.get(stream_id).cutting is (mode is FailureMode.DENY)
        assert bench.recorded.of(FailureModeUsed) == [FailureModeUsed("on_no_video", mode.value)]
        if mode is FailureMode.DENY:
            assert (await on_record(bench)).verdict.reason == VerdictReason.UNWATCHABLE
        else:
            await bench.until(lambda: len(bench.pullers.pulls_of(stream_id)) == 3)
        bench.server.gone = True


@pytest.mark.parametrize("mode", FailureMode)
async def test_a_call_that_brings_audio_and_no_video_is_cut_unless_the_policy_lets_it_go_on(
    tmp_path: Path, mode: FailureMode
) -> None:
    policy = Policy(failure=FailurePolicy(on_no_video=mode))
    async with gate_without_workers(tmp_path, policy) as bench:
        stream = await pushed(bench)
        bench.gate.router.intake.push_audio(stream, gate_pb2.AudioUnits(codec="aac"))
        stream.fed_ms -= 2 * bench.gate.settings.limits.push_stall_ms
        await bench.gate.upkeep.forget_unwatched()
        await bench.gate.upkeep.forget_unwatched()
        assert stream.cutting is (mode is FailureMode.DENY)
        assert len(bench.recorded.of(FailureModeUsed)) == 1
        if mode is FailureMode.DENY:
            assert "audio only" in (await on_record(bench)).verdict.signals[0].detail
            bench.gate.confirm_cut(stream.id, 0, bench.caller(stream.id))
        else:
            assert stream.responses is not None
            assert not stream.responses.closed
