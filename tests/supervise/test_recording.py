"""A clip goes on after its verdict: until the activity or the stream is over, within bounds."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.domain import AccessUnit, Action, StreamId
from edge.policy import EvidencePolicy, Mode, Policy
from edge.supervise.kept_media import KeptMedia
from edge.supervise.recording import Recording
from tests.supervise.gate_without_workers import Bench, gate_without_workers
from tests.supervise.test_ongoing_incidents import flagged, goes_on

EVIDENCE = EvidencePolicy(after_ms=10_000, longest_ms=60_000, clip_bytes=1024 * 1024)
ENFORCE = Policy(mode=Mode.ENFORCE, evidence=EVIDENCE)


def unit(pts_ms: int, size: int = 10, *, keyframe: bool = False) -> AccessUnit:
    return AccessUnit(pts_ms, pts_ms, keyframe, pts_ms.to_bytes(8, "big") + b"x" * (size - 8), float(pts_ms))


def test_it_ends_after_the_newest_sign() -> None:
    recording = Recording(KeptMedia(), EVIDENCE, 0)
    assert not recording.is_over(9_999)
    recording.prolong(9_000)
    assert not recording.is_over(18_999)
    assert recording.is_over(19_000)


def test_signs_prolong_it_to_its_bound_only() -> None:
    recording = Recording(KeptMedia(), EVIDENCE, 0)
    for now in range(0, 100_000, 1_000):
        recording.prolong(now)
    assert not recording.is_over(59_999)
    assert recording.is_over(60_000)


def test_that_of_a_cut_goes_on_to_the_end() -> None:
    recording = Recording(KeptMedia(), EVIDENCE, 0)
    recording.goes_on_to_the_end()
    assert not recording.is_over(59_999)


@given(st.lists(st.integers(8, 400_000), max_size=12))
def test_it_holds_a_whole_beginning_of_what_came(sizes: list[int]) -> None:
    came = [unit(number, size) for number, size in enumerate(sizes)]
    recording = Recording(KeptMedia(tuple(came[:2])), EVIDENCE, 0)
    for one in came[2:]:
        recording.add_unit(one)
    kept = recording.units()
    assert list(kept) == came[: len(kept)]
    assert len(kept) == len(came) or recording.is_over(0)
    assert recording.bytes == sum(len(one.data) for one in kept) <= max(EVIDENCE.clip_bytes, sum(sizes[:2]))


async def opened(bench: Bench) -> StreamId:
    """A pulled stream whose first GOP has come."""
    stream_id = await bench.watched()
    [*_, pull] = bench.pullers.pulls_of(stream_id)
    for number in range(4):
        pull.brings(unit(number * 40, keyframe=not number))
    await bench.until(lambda: len([to for to, _ in bench.workers.units if to == stream_id]) == 4)
    return stream_id


def clips(bench: Bench) -> list[list[int]]:
    """The media times of each clip that was requested."""
    found: list[list[int]] = []
    shown: list[int] = []
    for _, command in bench.workers.sent:
        match command.WhichOneof("command"):
            case "evidence_media":
                media = command.evidence_media
                shown = ([] if media.first else shown) + [one.pts_ms for one in media.units]
            case "save_evidence":
                found.append(shown)
    return found


async def test_a_flag_goes_on_recording_until_its_stream_is_over(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE, clock=ManualClock()) as bench:
        stream_id = await opened(bench)
        flagged(bench, stream_id, 120, 0.6)
        await bench.until(lambda: len(clips(bench)) == 1)
        assert clips(bench) == [[0, 40, 80, 120]]
        [*_, pull] = bench.pullers.pulls_of(stream_id)
        for number in range(4, 10):
            pull.brings(unit(number * 40))
        await bench.until(lambda: len([to for to, _ in bench.workers.units if to == stream_id]) == 10)
        bench.gate._enforcer.sweep()
        assert len(clips(bench)) == 1, "the activity may go on"
        await bench.gate.publish_ended("pulled", "7", "live", "show")
        bench.closed(stream_id, "end", retryable=False)
        await bench.until(lambda: bench.gate.registry.find(stream_id) is None)
        bench.gate._enforcer.sweep()
        await bench.until(lambda: len(clips(bench)) == 2)
        assert clips(bench)[-1] == [number * 40 for number in range(10)]
        await bench.until(lambda: stream_id not in bench.workers.streams)


async def test_a_flag_goes_on_recording_while_signs_come(tmp_path: Path) -> None:
    policy = ENFORCE.model_copy(update={"evidence": EvidencePolicy(after_ms=1, longest_ms=600_000)})
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await opened(bench)
        flagged(bench, stream_id, 120, 0.6)
        incident_id = next(iter(bench.gate._enforcer._recordings._running))
        recording = bench.gate._enforcer._recordings._running[incident_id].recording
        before = recording._until_ms
        goes_on(bench, stream_id, 160, 0.4)
        assert recording._until_ms > before


async def test_a_cut_keeps_what_arrives_until_the_close(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE, clock=ManualClock()) as bench:
        stream_id = await opened(bench)
        bench.judged(stream_id, Action.CUT)
        await bench.until(lambda: bench.server.asked)
        [*_, pull] = bench.pullers.pulls_of(stream_id)
        for number in range(4, 8):
            pull.brings(unit(number * 40))
        stream = bench.gate.registry.get(stream_id)
        assert stream.media is not None
        [recording] = stream.media.recordings.values()
        await bench.until(lambda: len(recording.units()) == 8)
        assert len(bench.workers.units) == 4, "no worker looks at it any more"
        bench.server.gone = True
        await bench.until(lambda: bench.gate.registry.find(stream_id) is None)
        bench.gate._enforcer.sweep()
        await bench.until(lambda: len(clips(bench)) == 2)
        assert clips(bench)[-1] == [number * 40 for number in range(8)]


async def test_nothing_is_read_of_a_pull_once_its_publisher_is_gone(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        stream_id = await opened(bench)
        bench.judged(stream_id, Action.CUT)
        await bench.until(lambda: bench.server.asked)
        [*_, pull] = bench.pullers.pulls_of(stream_id)
        await bench.gate.publish_ended("pulled", "7", "live", "show")
        assert pull.stopped


async def test_recordings_share_a_bound(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, ENFORCE) as bench:
        recordings = bench.gate._enforcer._recordings
        recordings._max_bytes = 100
        stream_id = await opened(bench)
        flagged(bench, stream_id, 120, 0.6)
        stream = bench.gate.registry.get(stream_id)
        assert stream.media is not None
        [recording] = stream.media.recordings.values()
        bench.gate._enforcer.sweep()
        assert stream.media.recordings
        for number in range(4, 20):
            recording.add_unit(unit(number * 40))
        bench.gate._enforcer.sweep()
        assert not stream.media.recordings
        await bench.until(lambda: len(clips(bench)) == 2)
