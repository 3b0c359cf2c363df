"""Fragmented MP4 that grows: every frame of every codec, whatever the pieces."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, GateError, UnsupportedCodec
from edge.evidence.fragments import FragmentWriter
from edge.stream.synthetic import EncodedMedia, encode

NAMES = {
    Codec.H264: r"avc1\.[0-9a-f]{6}",
    Codec.HEVC: r"hvc1\.1\.[0-9a-f]+\.[LH]\d+(\.[0-9a-f]+)*",
    Codec.VP9: r"vp09\.00\.41\.08",
    Codec.AV1: r"av01\.0\.\d\d[MH]\.08",
}


def written(media: EncodedMedia, size: int, units: tuple[AccessUnit, ...] | None = None) -> tuple[bytes, str]:
    """The file in fragments of ``size`` units, and its media type."""
    units = tuple(media.units) if units is None else units
    writer = FragmentWriter(media.codec.value, media.extradata, units[0])
    file = writer.head
    for begin in range(0, len(units), size):
        after = units[begin + size].dts_ms if begin + size < len(units) else units[-1].dts_ms + 40
        file += writer.fragment(units[begin : begin + size], after)
    return file, writer.media_type


def shown_ms(file: bytes) -> list[int]:
    with av.open(io.BytesIO(file), "r") as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [round(f.pts * stream.time_base * 1000) for f in container.decode(stream) if f.pts is not None]


@pytest.mark.parametrize(
    ("codec", "in_band"), [*((c, False) for c in Codec), (Codec.H264, True), (Codec.HEVC, True)]
)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_frame_of_every_codec(codec: Codec, in_band: bool, b_frames: int) -> None:
    media = encode(codec, frames=40, gop=20, in_band=in_band, b_frames=b_frames, size=(70, 98))
    file, media_type = written(media, 7)
    assert re.fullmatch(rf'video/mp4; codecs="{NAMES[codec]}"', media_type), media_type
    at = file.index(b"\0\x48\0\0\0\x48\0\0")  # behind the size in the sample entry
    size = struct.unpack(">2H", file[at - 4 : at])
    assert size == ((1280, 720) if codec is Codec.VP9 else (98, 70)), "a browser shows it in this shape"
    begin = media.units[0].dts_ms
    assert shown_ms(file) == sorted(unit.pts_ms - begin for unit in media.units)


def test_each_fragment_can_be_the_first_after_the_head() -> None:
    media = encode(frames=60, gop=20)
    units, start_ms = media.units, media.units[0].dts_ms
    writer = FragmentWriter(media.codec.value, media.extradata, units[0])
    pieces = [writer.fragment(units[at : at + 19], units[at + 19].dts_ms) for at in (0, 20, 40)]
    left_out = shown_ms(writer.head + pieces[0] + pieces[2])
    assert left_out == [unit.pts_ms - start_ms for unit in (*units[:19], *units[40:59])]


def test_a_stream_that_cannot_be_shown_is_refused() -> None:
    media = encode(frames=2, gop=2)
    with pytest.raises(UnsupportedCodec):
        FragmentWriter("theora", b"", media.units[0])
    with pytest.raises(BrokenMedia, match="no parameter sets"):
        FragmentWriter("h264", b"", replace(media.units[0], data=b"\0\0\0\1\x65abc"))


@given(codec=st.sampled_from([*Codec]), extradata=st.binary(max_size=80), data=st.binary(max_size=80))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_written_or_refused(codec: Codec, extradata: bytes, data: bytes) -> None:
    unit = AccessUnit(10, 0, True, data, 0.0)
    try:
        writer = FragmentWriter(codec.value, extradata, unit)
        assert writer.head.startswith(b"\0\0\0")
        writer.fragment([unit], 40)
    except GateError:
        pass


@given(st.lists(st.tuples(st.integers(-50, 400), st.integers(-50, 400)), min_size=1, max_size=40))
def test_time_never_goes_back(steps: list[tuple[int, int]]) -> None:
    media = encode(frames=1, gop=1)
    dts, units = 5_000, []
    for step, offset in steps:
        dts += step
        units.append(replace(media.units[0], dts_ms=dts, pts_ms=dts + offset))
    writer, before = FragmentWriter(media.codec.value, media.extradata, units[0]), 0
    for unit in units:
        assert writer.fragment([unit], unit.dts_ms + 40)
        assert writer.end_ms > before
        before = writer.end_ms
