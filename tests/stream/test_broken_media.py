"""Broken and hostile media: always a clear end with a counted reason, never another exception."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, FrameTooLarge, InvalidInput
from edge.policy import Policy, TierPolicy
from edge.reasons import DegradedReason
from edge.stream.pipeline import KEYFRAMELESS_UNITS
from edge.stream.synthetic import EncodedMedia, encode

if TYPE_CHECKING:
    from tests.stream.conftest import Watch

ZERO_LATENCY = {"tune": "zerolatency"}
CALM = Policy(tiers=TierPolicy(start_alert_ms=0))


@pytest.fixture(scope="module")
def media() -> EncodedMedia:
    return encode(frames=150, gop=30, options=ZERO_LATENCY)


def test_no_keyframe_at_the_start_waits_for_one(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media).feed(media.units[10:])
    assert watched.pipeline.counters.errors == {"before_keyframe": 20}
    assert watched.times[0] == media.units[30].pts_ms + 200


def test_no_keyframe_ever_ends(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media)
    unit = replace(media.units[1], keyframe=False)
    for index in range(KEYFRAMELESS_UNITS - 1):
        watched.feed([replace(unit, pts_ms=index, dts_ms=index)])
    with pytest.raises(BrokenMedia, match=f"no keyframe in {KEYFRAMELESS_UNITS} access units"):
        watched.feed([replace(unit, pts_ms=10_000, dts_ms=10_000)])


def test_extradata_of_another_stream(watch: Watch) -> None:
    media = encode(frames=100, gop=10, options=ZERO_LATENCY)
    other = encode(frames=1, size=(240, 320), pix_fmt="yuv444p", options={"profile": "high444"})
    watched = watch(media, extradata=other.extradata)
    try:
        watched.feed(media.units, end=True)
    except BrokenMedia as error:
        assert "nothing decodable" in str(error)  # noqa: PT017
    assert watched.pipeline.counters.errors


def test_random_bytes_end_in_broken_media(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, extradata=b"")
    junk = [AccessUnit(i * 33, i * 33, True, bytes([i % 256]) * 200, 0.0) for i in range(200)]
    with pytest.raises(BrokenMedia, match="nothing decodable"):
        watched.feed(junk)
    assert watched.samples == []


def test_short_junk_is_told_at_the_end(media: EncodedMedia, watch: Watch) -> None:
    watched = watch(media, extradata=b"").feed([AccessUnit(0, 0, True, b"junk", 0.0)])
    with pytest.raises(BrokenMedia, match="nothing decodable in all of 1 access units"):
        watched.pipeline.drain()


def test_zero_length_units_in_between(media: EncodedMedia, watch: Watch) -> None:
    units = [u for unit in media.units for u in (unit, replace(unit, data=b"", keyframe=False))]
    watched = watch(media).feed(units)
    assert len(watched.samples) == len(watch(media).feed(media.units).samples)
    assert watched.pipeline.counters.errors["empty_unit"] > 0


def test_stamps_that_wrap_at_32_bits(media: EncodedMedia, watch: Watch) -> None:
    start = (1 << 32) - 2000
    units = [
        replace(u, pts_ms=(u.pts_ms + start) % 2**32, dts_ms=(u.dts_ms + start) % 2**32) for u in media.units
    ]
    watched = watch(media).feed(units, end=True)
    straight = watch(media).feed(media.units, end=True)
    assert [t - start for t in watched.times] == straight.times
    assert watched.pipeline.counters.errors == {}


def test_stamps_that_jump_back(media: EncodedMedia, watch: Watch) -> None:
    units = [*media.units, *media.units]
    watched = watch(media).feed(units, end=True)
    assert watched.times == sorted(set(watched.times))
    marks = [j.verdict.cleared_pts_ms for j in watched.judgements]
    assert marks == sorted(marks)
    assert watched.pipeline.counters.errors == {"timestamp_back": 1}
    assert watched.times[-1] > media.units[-1].pts_ms + 4000


@pytest.mark.parametrize("stamp", [0, 7, 2**40])
def test_stamps_that_stand_still_do_not_blind(stamp: int, watch: Watch) -> None:
    media = encode(frames=600, gop=300, options=ZERO_LATENCY, size=(64, 64))
    units = [replace(u, pts_ms=stamp, dts_ms=stamp) for u in media.units]
    watched = watch(media, alert=True).feed(units)
    assert len(watched.samples) >= 600 // 32 - 1


def test_every_unit_marked_as_a_keyframe(watch: Watch) -> None:
    """A publisher that lies about keyframes is decoded in full and is not blind."""
    media = encode(frames=600, gop=60, options=ZERO_LATENCY)
    watched = watch(media, CALM).feed(replace(u, keyframe=True) for u in media.units)
    assert watched.pipeline.counters.blind_ms_max <= 4000
    assert watched.times[-1] > 18_000


def test_frames_too_large_end_the_watching(watch: Watch) -> None:
    media = encode(frames=1, size=(32, 8320), options=ZERO_LATENCY)
    with pytest.raises(FrameTooLarge, match="4096x2304"):
        watch(media).feed(media.units, end=True)


@pytest.fixture(scope="module")
def streams() -> dict[Codec, EncodedMedia]:
    return {codec: encode(codec, frames=90, gop=30, b_frames=2, size=(64, 96)) for codec in Codec}


@st.composite
def broken(draw: st.DrawFn, units: tuple[AccessUnit, ...]) -> list[AccessUnit]:
    """The units of a stream, damaged in several ways at once."""
    body = list(units[: draw(st.integers(1, len(units)))])
    for _ in range(draw(st.integers(0, 12))):
        if not body:
            break
        at = draw(st.integers(0, len(body) - 1))
        unit = body[at]
        match draw(
            st.sampled_from(["flip", "cut", "empty", "drop", "twice", "swap", "key", "stamp", "junk"])
        ):
            case "flip" if unit.data:
                data = bytearray(unit.data)
                data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
                body[at] = replace(unit, data=bytes(data))
            case "cut":
                body[at] = replace(unit, data=unit.data[: draw(st.integers(0, len(unit.data)))])
            case "empty":
                body[at] = replace(unit, data=b"")
            case "drop":
                del body[at : at + draw(st.integers(1, 20))]
            case "twice":
                body.insert(at, unit)
            case "swap":
                other = draw(st.integers(0, len(body) - 1))
                body[at], body[other] = body[other], unit
            case "key":
                body[at] = replace(unit, keyframe=not unit.keyframe)
            case "stamp":
                stamps = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1))
                body[at] = replace(unit, pts_ms=draw(stamps), dts_ms=draw(stamps))
            case "junk":
                body[at] = replace(unit, data=draw(st.binary(min_size=1, max_size=60)))
    return body


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), codec=st.sampled_from(list(Codec)), start_alert_ms=st.sampled_from([0, 500, 60_000]))
def test_whatever_comes(
    data: st.DataObject,
    codec: Codec,
    start_alert_ms: int,
    streams: dict[Codec, EncodedMedia],
    watch: Watch,
) -> None:
    media = streams[codec]
    units = data.draw(broken(media.units))
    extradata = data.draw(st.sampled_from([media.extradata, media.extradata, b"", media.extradata[:9]]))
    policy = Policy(tiers=TierPolicy(start_alert_ms=start_alert_ms, blind_limit_ms=1000))
    try:
        watched = watch(media, policy, extradata=extradata)
    except InvalidInput as error:
        assert error.field in ("extradata", "frame")  # noqa: PT017
        return
    ended = False
    for unit in units:
        try:
            match data.draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])):
                case 1:
                    watched.pipeline.ask_alert()
                case 2 if watched.samples:
                    watched.pipeline.shed(watched.samples[-1], DegradedReason.LATE)
                case 3:
                    watched.pipeline.skip(unit)
                    continue
            watched.feed([unit])
        except (BrokenMedia, FrameTooLarge):
            ended = True
            break
    if not ended:
        try:
            watched.feed([], end=True)
        except BrokenMedia:
            ended = True
    counters = watched.pipeline.counters
    assert counters.units == len(units) or ended
    assert counters.samples == counters.judged == len(watched.samples)
    assert all(a < b for a, b in pairwise(watched.times))
    marks = [j.verdict.cleared_pts_ms for j in watched.judgements]
    assert marks == sorted(marks)
    assert 0 <= counters.skipped <= counters.units
