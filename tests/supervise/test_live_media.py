"""A person sees the last seconds of a live stream and then what comes; who watched is in the audit log."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import pytest

from edge.contract.gate import ALL_NEEDED_MS
from edge.contract.gen import gate_pb2
from edge.domain import StreamId
from edge.errors import LedgerUnavailable, NoPlace, NotFound, UnsupportedCodec
from edge.pullers.double import ScriptedPull
from edge.reasons import EndReason
from edge.stream.synthetic import EncodedMedia, encode
from edge.supervise.live_media import MediaPiece
from tests.supervise.gate_without_workers import PATIENCE_S, Bench, gate_without_workers


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with gate_without_workers(tmp_path) as running:
        running.pullers.open_at_once = False
        yield running


@cache
def media() -> EncodedMedia:
    return encode(frames=60, gop=20)


async def live(bench: Bench, codec: str = "h264") -> tuple[StreamId, ScriptedPull]:
    """A stream whose first 30 frames have come."""
    stream_id: StreamId = (await bench.admit("7", "show")).stream_id
    await bench.gate.attach(stream_id, "rtmp://127.0.0.1/live/show")
    [pull] = bench.pullers.pulls_of(stream_id)
    pull.opens(codec, media().extradata)
    brings(pull, 0, 30)
    await bench.until(lambda: held(bench, stream_id) == 30)
    return stream_id, pull


def brings(pull: ScriptedPull, begin: int, end: int) -> None:
    for unit in media().units[begin:end]:
        pull.brings(unit)


def held(bench: Bench, stream_id: StreamId) -> int:
    kept = bench.gate.registry.get(stream_id).media
    return 0 if kept is None else len(kept.units())


async def heard(feed: AsyncIterator[MediaPiece]) -> MediaPiece:
    return await asyncio.wait_for(anext(feed), PATIENCE_S)


def pictures(file: bytes) -> int:
    with av.open(io.BytesIO(file), "r") as container:
        return sum(1 for _ in container.decode(video=0))


async def test_the_last_seconds_come_first_and_then_what_is_new(bench: Bench) -> None:
    stream_id, pull = await live(bench)
    newest, older = (bench.gate.live_media.watch(stream_id, "ann", back) for back in (0, 60_000))
    first = await heard(newest)
    assert first.media_type.startswith('video/mp4; codecs="avc1.')
    assert pictures(first.data) == 9, "from the newest keyframe, and the last one waits for the next"
    file = (await heard(older)).data
    assert pictures(file) == 29
    brings(pull, 30, 50)
    while pictures(file) < 49:
        piece = await heard(older)
        assert not piece.media_type
        file += piece.data
    bench.gate.router.ends.forget(bench.gate.registry.get(stream_id), EndReason.UNWATCHED)
    with pytest.raises(StopAsyncIteration):
        await heard(older)
    assert bench.gate.live_media.watchers == 1
    await newest.aclose()
    assert bench.gate.live_media.watchers == 0


async def test_a_source_that_opens_anew_begins_a_new_file(bench: Bench) -> None:
    stream_id, _ = await live(bench)
    feed = bench.gate.live_media.watch(stream_id, "ann")
    await heard(feed)
    stream = bench.gate.registry.get(stream_id)
    assert bench.gate.router.intake.take_source(stream, "h264", media().extradata) is None
    assert stream.media is not None
    for unit in media().units[:5]:
        stream.media.add_unit(replace(unit, arrival_ms=bench.gate.clock.monotonic_ms()))
    piece = await heard(feed)
    assert piece.media_type
    assert pictures(piece.data) == 4


async def test_who_watches_is_in_the_audit_log_once_and_before_the_first_byte(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream_id, _ = await live(bench)
    for name in ("ann", "ann", "bob"):
        feed = bench.gate.live_media.watch(stream_id, name)
        await heard(feed)
        await feed.aclose()
    rows = [row for row in bench.gate.ledger.audit_rows() if row.what == "stream_watched"]
    assert [(row.who, row.subject) for row in rows] == [("ann", stream_id), ("bob", stream_id)]

    def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(bench.gate._context.operator_ledger, "note_stream_watched", away)
    with pytest.raises(LedgerUnavailable):
        await heard(bench.gate.live_media.watch(stream_id, "carl"))


async def test_places_are_bounded_and_given_back(bench: Bench) -> None:
    stream_id, _ = await live(bench)
    limits = bench.gate._context.settings.limits
    feeds = [bench.gate.live_media.watch(stream_id, "ann") for _ in range(limits.max_media_watchers)]
    for feed in feeds:
        await heard(feed)
    with pytest.raises(NoPlace, match=r"limits\.max_media_watchers"):
        await heard(bench.gate.live_media.watch(stream_id, "ann"))
    await feeds[0].aclose()
    assert (await heard(bench.gate.live_media.watch(stream_id, "ann"))).data


async def test_what_cannot_be_watched_says_why(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await heard(bench.gate.live_media.watch("st_none", "ann"))
    stream_id, _ = await live(bench, "theora")
    with pytest.raises(UnsupportedCodec):
        await heard(bench.gate.live_media.watch(stream_id, "ann"))
    assert bench.gate.live_media.watchers == 0


async def test_a_silent_stream_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.supervise.live_media.QUIET_S", 0.05)
    stream_id: StreamId = (await bench.admit("7", "show")).stream_id
    feed = bench.gate.live_media.watch(stream_id, "ann")
    assert await heard(feed) == MediaPiece()
    await bench.gate.attach(stream_id, "rtmp://127.0.0.1/live/show")
    [pull] = bench.pullers.pulls_of(stream_id)
    pull.opens("h264", media().extradata)
    brings(pull, 0, 5)
    while not (piece := await heard(feed)).data:
        assert piece == MediaPiece()
    assert piece.media_type


async def test_a_caller_leaves_nothing_out_while_somebody_watches(bench: Bench) -> None:
    stream_id: StreamId = (await bench.admit("7", "show")).stream_id
    stream = bench.gate.router.open_push(stream_id, "h264", media().extradata, bench.caller(stream_id))
    assert stream.responses is not None
    stream.wanted = gate_pb2.TierChange(tier=gate_pb2.TIER_KIND_CALM, needed_after_keyframe_ms=400)
    for unit in media().units[:5]:
        bench.gate.router.intake.push(stream, unit)
    first, second = (bench.gate.live_media.watch(stream_id, name) for name in ("ann", "bob"))
    await heard(first)
    await heard(second)
    await first.aclose()
    await second.aclose()
    asked = [await stream.responses.get() for _ in range(2)]
    needed = [each and (each.opened.tier or each.tier).needed_after_keyframe_ms for each in asked]
    assert needed == [ALL_NEEDED_MS, 400], "it is told when the first comes and when the last goes"
