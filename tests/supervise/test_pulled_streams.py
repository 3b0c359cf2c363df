"""A pulled stream takes the way of a pushed one, and its pull outlives its worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import AccessUnit, StreamId
from edge.errors import SourceStalled
from edge.policy import EvidencePolicy, Policy
from edge.pullers.double import ScriptedPull
from edge.reasons import CloseReason
from edge.telemetry.records import WatchingFailed
from tests.supervise.gate_without_workers import Bench, gate_without_workers


def unit(number: int, size: int = 100) -> AccessUnit:
    return AccessUnit(40 * number, 40 * number, number % 10 == 0, bytes(size), 0.0)


async def pulled(bench: Bench) -> tuple[StreamId, ScriptedPull]:
    stream_id = await bench.watched()
    [pull] = bench.pullers.pulls_of(stream_id)
    return stream_id, pull


async def brought(bench: Bench, stream_id: StreamId, pull: ScriptedPull, count: int) -> None:
    for number in range(count):
        pull.brings(unit(number))
    media = bench.gate.registry.get(stream_id).media
    assert media is not None
    await bench.until(lambda: len(media.units()) == count)


async def test_a_worker_opens_it_once_its_source_has_opened(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.pullers.open_at_once = False
        stream_id = (await bench.admit("7", "show")).stream_id
        await bench.gate.attach(stream_id, "rtmp://127.0.0.1/live/show")
        [pull] = bench.pullers.pulls_of(stream_id)
        assert not bench.workers.sent_to(stream_id)
        pull.opens("hevc", b"hvcC")
        await bench.until(lambda: bench.workers.sent_to(stream_id))
        opened = bench.workers.sent[-1][1].open_push
        assert (opened.codec, opened.extradata) == ("hevc", b"hvcC")


async def test_a_lost_worker_costs_no_new_connection(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id, pull = await pulled(bench)
        await brought(bench, stream_id, pull, 15)
        units = bench.workers.units
        units.clear()
        bench.gate._worker_events.on_streams_lost((stream_id,), None)
        await bench.until(lambda: bench.workers.sent_to(stream_id).count("open_push") == 2)
        assert [one.dts_ms for _, one in units] == [40 * number for number in range(10, 15)]
        assert not pull.stopped
        assert len(bench.pullers.pulls) == 1


async def test_a_gap_in_the_worker_costs_no_new_connection(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id, pull = await pulled(bench)
        await brought(bench, stream_id, pull, 15)
        bench.closed(stream_id, CloseReason.GAP, retryable=True)
        assert bench.workers.sent_to(stream_id) == ["open_push", "open_push"]
        assert not pull.stopped
        assert not bench.recorded.of(WatchingFailed)


async def test_a_worker_that_is_lost_before_the_source_opens_is_replaced(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.pullers.open_at_once = False
        stream_id = (await bench.admit("7", "show")).stream_id
        await bench.gate.attach(stream_id, "rtmp://127.0.0.1/live/show")
        bench.workers.release(stream_id)
        bench.gate._worker_events.on_streams_lost((stream_id,), None)
        await bench.until(lambda: stream_id in bench.workers.streams)
        [pull] = bench.pullers.pulls_of(stream_id)
        pull.opens()
        await bench.until(lambda: bench.workers.sent_to(stream_id) == ["open_push"])


async def test_a_source_that_opens_while_its_stream_waits_for_a_worker_is_opened_in_it(
    tmp_path: Path,
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.pullers.open_at_once = False
        first = await bench.admit("6", "first", "berta")
        await bench.gate.attach(first.stream_id, "rtmp://127.0.0.1/live/first")
        stream_id = (await bench.admit("7", "show")).stream_id
        await bench.gate.attach(stream_id, "rtmp://127.0.0.1/live/show")
        for lost in (first.stream_id, stream_id):
            bench.workers.release(lost)
        bench.pullers.pulls_of(first.stream_id)[0].opens()
        bench.pullers.pulls_of(stream_id)[0].opens()
        bench.gate._worker_events.on_streams_lost((first.stream_id, stream_id), None)
        await bench.until(lambda: bench.workers.sent_to(stream_id) == ["open_push"])


async def test_a_new_connection_replaces_the_old_one_and_what_it_brought(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id, old = await pulled(bench)
        assert await bench.gate.pull_anew(stream_id)
        assert old.stopped
        await bench.until(lambda: bench.workers.sent_to(stream_id) == ["open_push", "open_push"])
        openings = [command.open_push.opening for _, command in bench.workers.sent]
        assert openings == [1, 2]
        new = bench.pullers.pulls_of(stream_id)[-1]
        assert not new.stopped
        await brought(bench, stream_id, new, 3)


async def test_audio_is_passed_on_while_the_worker_wants_it(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id, pull = await pulled(bench)
        for wanted in (True, False):
            tier = gate_pb2.TierChange(tier=gate_pb2.TIER_KIND_CALM, audio_wanted=wanted)
            changed = worker_pb2.TierChanged(stream_id=stream_id, tier=tier)
            bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(tier_changed=changed))
            assert pull.wants_audio == wanted
        pull.hears(gate_pb2.AudioUnits(codec="aac"))
        await bench.until(lambda: "pushed_audio" in bench.workers.sent_to(stream_id))


async def test_its_media_is_the_evidence(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id, pull = await pulled(bench)
        await brought(bench, stream_id, pull, 12)
        bench.judged(stream_id)
        await bench.until(lambda: "save_evidence" in bench.workers.sent_to(stream_id))
        [shown] = [c.evidence_media for _, c in bench.workers.sent if c.HasField("evidence_media")]
        assert len(shown.units) == 12
        pull.brings(unit(12))
        media = bench.gate.registry.get(stream_id).media
        assert media is not None
        await bench.until(lambda: len(media.units()) == 13)  # evidence, until the close
        assert len([to for to, _ in bench.workers.units if to == stream_id]) == 12, "nothing is decided on it"
        assert not pull.stopped
        bench.server.gone = True
        await bench.until(lambda: pull.stopped)


async def test_a_configuration_over_the_limit_is_cut(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.pullers.open_at_once = False
        stream_id = (await bench.admit("7", "show")).stream_id
        await bench.gate.attach(stream_id, "rtmp://127.0.0.1/live/show")
        [pull] = bench.pullers.pulls_of(stream_id)
        pull.opens(extradata=bytes(70_000))
        await bench.until(lambda: bench.gate.registry.get(stream_id).cutting)
        assert pull.stopped
        bench.server.gone = True


async def test_a_source_that_never_opens_is_the_gates_failure_and_tried_again(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.pullers.open_at_once = False
        stream_id = (await bench.admit("7", "show")).stream_id
        await bench.gate.attach(stream_id, "rtmp://127.0.0.1/live/show")
        await bench.pull_ends(stream_id, SourceStalled("no video within 10000 ms"))
        [failed] = bench.recorded.of(WatchingFailed)
        assert failed.reason == "source_stalled"
        await bench.until(lambda: len(bench.pullers.pulls_of(stream_id)) == 2)
        assert not bench.workers.sent_to(stream_id)


@pytest.mark.parametrize("slow", [True, False])
async def test_nothing_more_is_read_while_its_worker_is_slow(
    slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy(evidence=EvidencePolicy(ring_ms=60_000))
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id, pull = await pulled(bench)
        bench.workers.hold_back(slow)
        for number in range(20):
            pull.brings(unit(number))
        media = bench.gate.registry.get(stream_id).media
        assert media is not None
        if slow:
            await bench.until(lambda: bench.workers.waiting)
            assert len(media.units()) == 1
            bench.workers.hold_back(False)
        await bench.until(lambda: len(media.units()) == 20)
