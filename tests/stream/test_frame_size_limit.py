"""Frames over the limit are refused before they are decoded, whatever their publisher says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Codec
from edge.errors import Fault, FrameTooLarge
from edge.stream import FrameSizeLimit
from edge.stream.decode import Decoder
from edge.stream.frame_size_limit import coded_sizes
from edge.stream.synthetic import EncodedMedia, encode

EDGE = st.integers(1, 20_000)
SMALL = FrameSizeLimit(256, 128)
CROPPED = {"x264-params": "crop-rect=0,0,192,192"}


def large(codec: Codec, *, in_band: bool = True, size: tuple[int, int] = (136, 264)) -> EncodedMedia:
    return encode(codec, frames=2, size=size, in_band=in_band)


@given(EDGE, EDGE)
def test_the_limit_is_the_same_upright_and_on_its_side(width: int, height: int) -> None:
    limit = FrameSizeLimit()
    allowed = limit.allows(width, height)
    assert limit.allows(height, width) is allowed
    assert allowed is (max(width, height) <= 4096 and min(width, height) <= 2304)
    if allowed:
        assert limit.allows_coded(width, height)
        assert width * height <= limit.pixels


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("in_band", [True, False])
def test_a_larger_frame_is_its_publishers_fault(codec: Codec, in_band: bool) -> None:
    media = large(codec, in_band=in_band)
    with pytest.raises(FrameTooLarge, match=r"frame: .* over the limit of 256x128.*max_pict") as caught:
        Decoder(codec, media.extradata, SMALL).decode(media.units[0])
    assert caught.value.fault is Fault.PUBLISHER


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
@pytest.mark.parametrize("size", [(128, 256), (256, 128)])
def test_the_largest_frame_is_decoded(codec: Codec, size: tuple[int, int]) -> None:
    media = large(codec, size=size)
    decoder = Decoder(codec, b"", SMALL)
    frames = [frame for unit in media.units for frame in decoder.decode(unit)] + decoder.drain()
    assert {(frame.height, frame.width) for frame in frames} == {size}


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
def test_a_size_that_grows_in_mid_stream_is_refused_without_decoding_it(codec: Codec) -> None:
    small, grown = large(codec, size=(96, 128)), large(codec)
    decoder = Decoder(codec, b"", SMALL)
    for unit in small.units:
        decoder.decode(unit)
    decoded = decoder.decoded
    with pytest.raises(FrameTooLarge, match=r"264x136|272x144"):
        decoder.decode(grown.units[0])
    assert decoder.decoded == decoded


def test_cropping_hides_no_coded_size() -> None:
    media = encode(frames=1, size=(256, 256), in_band=True, options=CROPPED)
    decoder = Decoder(Codec.H264)
    shown = decoder.decode(media.units[0]) + decoder.drain()
    assert [(frame.width, frame.height) for frame in shown] == [(64, 64)]
    with pytest.raises(FrameTooLarge, match="256x256"):
        Decoder(Codec.H264, b"", SMALL).decode(media.units[0])


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
@pytest.mark.parametrize("size", [(64, 64), (98, 130), (240, 432)])
@pytest.mark.parametrize("profile", ["yuv420p", "yuv444p"])
def test_coded_sizes_are_what_the_decoder_allocates(
    codec: Codec, size: tuple[int, int], profile: str
) -> None:
    media = encode(codec, frames=1, size=size, in_band=True, pix_fmt=profile)
    decoder = Decoder(codec)
    decoder.decode(media.units[0])
    context = decoder._context
    assert set(coded_sizes(codec, media.units[0].data, 0)) == {(context.coded_width, context.coded_height)}


@given(st.sampled_from(list(Codec)), st.binary(max_size=300), st.sampled_from([0, 1, 2, 4]))
def test_any_bytes_have_sizes_or_none(codec: Codec, data: bytes, prefix_bytes: int) -> None:
    for start in (b"", b"\0\0\1\x67\x64\0\x28", b"\0\0\1\x42\1"):
        for width, height in coded_sizes(codec, start + data, prefix_bytes):
            assert width >= 0
            assert height >= 0


def test_a_unit_of_nothing_but_parameter_sets_is_read_only_so_far() -> None:
    parameter_set = large(Codec.H264).units[0].data
    assert len(list(coded_sizes(Codec.H264, parameter_set[:40] * 10_000, 0))) <= 64
