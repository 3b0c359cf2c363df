"""A pulled stream whose configuration changes, as when a phone is turned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.annexb import MAX_EXTRADATA_BYTES
from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, BrokenSource, GateError, InvalidInput, LimitExceeded
from edge.evidence import write_clip
from edge.policy import Policy, TierPolicy
from edge.reconfiguration import Reconfiguration
from edge.stream import Decoder, open_media_file
from edge.stream.decode import UNDECODABLE_UNITS
from edge.stream.synthetic import EncodedMedia, encode
from tests.pullers import pulling
from tests.stream.flv import joined, published, served

if TYPE_CHECKING:
    from tests.stream.conftest import Watch

CALM = Policy(tiers=TierPolicy(start_alert_ms=0))
UPRIGHT, LYING = (128, 96), (96, 128)


def pulled(data: bytes) -> tuple[EncodedMedia, int, GateError | None]:
    """The units of a pulled FLV, how often it reported that it was open, and how it ended."""
    with served(data) as url:
        return pulling.pulled(url)


@pytest.fixture(scope="module")
def turned() -> EncodedMedia:
    return pulled(joined(published(Codec.H264, LYING), published(Codec.H264, UPRIGHT)))[0]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC, Codec.AV1])
@pytest.mark.parametrize("policy", [Policy(), CALM])
def test_stream_that_is_turned_round_goes_on(codec: Codec, policy: Policy, watch: Watch) -> None:
    data = joined(published(codec, LYING), published(codec, UPRIGHT), published(codec, LYING))
    media, opened, _ = pulled(data)
    assert opened == 1
    assert len(media.units) == 180
    watched = watch(media, policy).feed(media.units, end=True)
    assert watched.pipeline.counters.errors == {}
    assert watched.pipeline.counters.blind_ms_max <= 2100
    shapes = {sample.pts_ms // 2000: sample.luma.shape for sample in watched.samples}
    assert shapes == {0: LYING, 1: UPRIGHT, 2: LYING}


def test_other_coding_of_the_same_size_is_followed(watch: Watch) -> None:
    other = published(Codec.H264, LYING, options=(("coder", "1"), ("x264-params", "8x8dct=1")))
    media, _, _ = pulled(joined(published(Codec.H264, LYING), other))
    watched = watch(media, alert=True).feed(media.units)
    assert watched.pipeline.counters.errors == {}
    assert watched.pipeline.counters.decoded == 120


def test_every_later_keyframe_can_be_begun_with(turned: EncodedMedia) -> None:
    """The decoder and the evidence get only the record that opened the stream."""
    last = max(index for index, unit in enumerate(turned.units) if unit.keyframe)
    decoder = Decoder(turned.codec, turned.extradata)
    frames = [frame for unit in turned.units[last:] for frame in decoder.decode(unit)]
    assert len(frames) == 30
    assert not any(frame.is_corrupt for frame in frames)
    assert decoder.size == UPRIGHT


def test_evidence_shows_both_sides_of_the_change(turned: EncodedMedia, tmp_path: Path) -> None:
    clip = write_clip(turned.units, turned.codec, turned.extradata, tmp_path, "inc_turned")
    with open_media_file(clip.path) as media:
        decoder = Decoder(media.codec, media.extradata)
        frames = [frame for unit in media.units() for frame in decoder.decode(unit)]
    assert [(frame.height, frame.width) for frame in frames] == [LYING] * 60 + [UPRIGHT] * 60
    assert not any(frame.is_corrupt for frame in frames)


def test_record_that_is_sent_again_changes_nothing() -> None:
    part = published(Codec.H264, LYING)
    once, _, _ = pulled(part)
    again, _, _ = pulled(joined(part, part))
    assert [unit.data for unit in again.units] == [unit.data for unit in once.units] * 2


def test_damaged_record_ends_the_pull() -> None:
    first, second = published(Codec.H264, LYING, frames=10), published(Codec.H264, UPRIGHT, frames=10)
    record = pulled(second)[0].extradata
    damaged = bytes([*record[:5], 0xFF, *record[6:]])
    media, _, error = pulled(joined(first, second.replace(record, damaged)))
    assert isinstance(error, InvalidInput)
    assert error.field == "extradata"
    assert len(media.units) == 10


def test_record_of_another_framing_has_the_stream_opened_anew(turned: EncodedMedia) -> None:
    record = turned.extradata
    short = bytes([*record[:4], record[4] & ~3 | 1, *record[5:]])
    for first, later in ((record, short), (b"", record), (record, b"\0\0\0\1" + record)):
        with pytest.raises(BrokenSource, match="framing") as raised:
            Reconfiguration(Codec.H264, first).apply(b"data", later, keyframe=True)
        assert raised.value.retryable


def test_record_that_is_too_long(turned: EncodedMedia) -> None:
    with pytest.raises(LimitExceeded, match="extradata"):
        Reconfiguration(Codec.H264, turned.extradata).apply(
            b"", bytes(MAX_EXTRADATA_BYTES + 1), keyframe=True
        )


def test_parameter_set_that_is_too_long_for_its_own_prefixes() -> None:
    def record(size: int) -> bytes:
        return bytes([1, 66, 0, 30, 0xFC, 0xE1]) + size.to_bytes(2, "big") + bytes(size) + bytes(1)

    with pytest.raises(InvalidInput, match="a parameter set of 300 bytes is too long"):
        Reconfiguration(Codec.H264, record(10)).apply(b"", record(300), keyframe=True)


def test_frames_that_the_decoder_makes_up_are_none() -> None:
    """An encoder set up for other media repeats the old record with each keyframe, for ever."""
    first, _, _ = pulled(published(Codec.H264, LYING))
    other, _, _ = pulled(published(Codec.H264, LYING, frames=90, options=(("coder", "1"),)))
    decoder = Decoder(first.codec, first.extradata)

    def decode(units: tuple[AccessUnit, ...]) -> None:
        for unit in units:
            decoder.decode(unit)

    decode(first.units)
    with pytest.raises(BrokenMedia, match=f"nothing decodable in {UNDECODABLE_UNITS} access units"):
        decode(other.units)
    assert decoder.decoded == 62


def test_damage_in_every_second_unit_is_tolerated() -> None:
    media = encode(frames=300, gop=300, options={"tune": "zerolatency"})
    decoder = Decoder(media.codec, media.extradata)
    for index, unit in enumerate(media.units):
        data = unit.data[: len(unit.data) // 2] if index % 2 else unit.data
        decoder.decode(replace(unit, data=data))
    assert decoder.errors["corrupt_frame"] >= 140
