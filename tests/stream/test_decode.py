"""Every codec decodes, and no input does harm."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.annexb import MAX_EXTRADATA_BYTES
from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, FrameTooLarge, InvalidInput, LimitExceeded, UnsupportedCodec
from edge.stream import Decoder, FileCodec
from edge.stream.decode import UNDECODABLE_UNITS
from edge.stream.synthetic import EncodedMedia, encode, moving_square


def unit(data: bytes, index: int = 0, keyframe: bool = False) -> AccessUnit:
    return AccessUnit(index * 33, index * 33, keyframe, data, 0.0)


def decode_all(decoder: Decoder, media: EncodedMedia) -> list[int]:
    pts = [f.pts for u in media.units for f in decoder.decode(u)]
    return [p for p in [*pts, *(f.pts for f in decoder.drain())] if p is not None]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("in_band", [False, True])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_codec_gives_every_frame_in_order(codec: Codec, in_band: bool, b_frames: int) -> None:
    media = encode(codec, frames=24, gop=12, in_band=in_band, b_frames=b_frames)
    decoder = Decoder(codec, media.extradata)
    assert decode_all(decoder, media) == sorted(u.pts_ms for u in media.units)
    assert decoder.decoded == 24
    assert not decoder.errors
    assert decoder.delays_frames is (b_frames > 0 and codec in (Codec.H264, Codec.HEVC))


def test_frames_come_at_once_without_reordering() -> None:
    media = encode(frames=10, options={"tune": "zerolatency"})
    decoder = Decoder(media.codec, media.extradata)
    assert [[f.pts for f in decoder.decode(u)] for u in media.units] == [[u.pts_ms] for u in media.units]


def test_luma_is_a_view_without_line_padding() -> None:
    media = encode(frames=1, size=(98, 130), options={"qp": "0", "tune": "zerolatency"})
    decoder = Decoder(media.codec, media.extradata)
    (frame,) = decoder.decode(media.units[0])
    luma = decoder.luma(frame)
    assert luma.shape == (98, 130)
    assert luma.base is not None
    assert luma.strides[0] >= 130
    # Limited range in the stream, full range in the frame it was made from.
    expected = 16 + moving_square(0, 98, 130).astype(float) * 219 / 255
    assert np.abs(luma - expected).mean() < 2
    kept = luma.copy()
    del frame, decoder
    gc.collect()
    assert np.array_equal(luma, kept)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        (Codec.HEVC, "yuv420p10le"),
        (Codec.AV1, "yuv420p10le"),
        (Codec.HEVC, "gbrp"),
        (Codec.H264, "yuv444p"),
        (Codec.H264, "yuv422p"),
    ],
)
def test_luma_of_other_pixel_formats(codec: Codec, pix_fmt: str) -> None:
    media = encode(codec, frames=3, pix_fmt=pix_fmt)
    decoder = Decoder(codec, media.extradata)
    frames = [f for u in media.units for f in decoder.decode(u)] + decoder.drain()
    assert frames[0].format.name == pix_fmt
    luma = decoder.luma(frames[0])
    assert luma.shape == (96, 128)
    assert luma.dtype == np.uint8
    assert abs(float(luma.mean()) - float(moving_square(0, 96, 128).mean())) < 20


def test_resolution_change_in_mid_stream() -> None:
    small, large = encode(frames=4, in_band=True), encode(frames=4, in_band=True, size=(240, 320))
    decoder = Decoder(Codec.H264)
    shapes = []
    for u in (*small.units, *large.units):
        shapes += [decoder.luma(f).shape for f in decoder.decode(u)]
    shapes += [decoder.luma(f).shape for f in decoder.drain()]
    assert shapes == [(96, 128)] * 4 + [(240, 320)] * 4
    assert decoder.size == (240, 320)


def test_unknown_codec_is_refused() -> None:
    with pytest.raises(UnsupportedCodec, match="prorezzz"):
        Decoder(FileCodec("prorezzz"))
    Decoder(FileCodec("mpeg4"))


def test_extradata_is_bounded() -> None:
    Decoder(Codec.H264, b"\x00\x00\x01" + b"\x00" * (MAX_EXTRADATA_BYTES - 3))
    with pytest.raises(LimitExceeded, match="extradata: 65537 bytes is over the limit of 65536 bytes"):
        Decoder(Codec.H264, b"\x00" * (MAX_EXTRADATA_BYTES + 1))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
@pytest.mark.parametrize("extradata", [b"\x01\x64\x00", b"\xff" * 30, b"\x01" + b"\xff" * 40, b"\x00\x00"])
def test_extradata_that_is_torn_or_foreign(codec: Codec, extradata: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"extradata: .* neither a whole (avcC|hvcC) nor Annex B"):
        Decoder(codec, extradata)


def test_zero_length_units_are_counted_and_do_no_harm() -> None:
    media = encode(frames=10, options={"tune": "zerolatency"})
    decoder = Decoder(media.codec, media.extradata)
    frames = 0
    for u in media.units:
        frames += len(decoder.decode(u))
        assert decoder.decode(unit(b"")) == []
    assert frames == 10
    assert decoder.errors == {"empty_unit": 10}


def test_damage_is_tolerated_and_counted() -> None:
    media = encode(frames=40, gop=10, options={"tune": "zerolatency"})
    decoder = Decoder(media.codec, media.extradata)
    frames = 0
    for index, u in enumerate(media.units):
        frames += len(decoder.decode(unit(b"\xff" * 50, index) if index % 10 == 5 else u))
    assert frames >= 36
    assert decoder.errors["invalid_data"] == 4


@pytest.mark.parametrize("codec", list(Codec))
def test_nothing_decodable_ends_in_broken_media(codec: Codec) -> None:
    decoder = Decoder(codec)
    for index in range(1, UNDECODABLE_UNITS):
        decoder.decode(unit(bytes([index]) * 100, index, keyframe=True))
    with pytest.raises(BrokenMedia, match=f"nothing decodable in {UNDECODABLE_UNITS} access units"):
        decoder.decode(unit(bytes(100), UNDECODABLE_UNITS, keyframe=True))


def test_nothing_decodable_for_seconds_at_a_low_rate() -> None:
    decoder = Decoder(Codec.H264)
    for index in range(7):
        decoder.decode(AccessUnit(index * 1000, index * 1000, True, b"\xff" * 20, 0.0))
    with pytest.raises(BrokenMedia, match="nothing decodable in 8 access units"):
        decoder.decode(AccessUnit(7000, 7000, True, b"\xff" * 20, 0.0))


@pytest.fixture(scope="module")
def streams() -> dict[Codec, EncodedMedia]:
    return {codec: encode(codec, frames=12, gop=6, b_frames=1) for codec in Codec}


@settings(max_examples=150, deadline=None)
@given(codec=st.sampled_from(list(Codec)), data=st.data())
def test_flipped_cut_and_swapped_bytes(
    codec: Codec, data: st.DataObject, streams: dict[Codec, EncodedMedia]
) -> None:
    media = streams[codec]
    try:
        decoder = Decoder(codec, data.draw(st.sampled_from([media.extradata, b"", b"\x01" * 8])))
    except InvalidInput:
        return
    fed = 0
    try:
        for index, u in enumerate(media.units):
            body = bytearray(u.data)
            for _ in range(data.draw(st.integers(0, 4))):
                body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            size = data.draw(st.one_of(st.just(len(body)), st.integers(0, len(body))))
            for frame in decoder.decode(unit(bytes(body[:size]), index, u.keyframe)):
                assert decoder.luma(frame).shape == decoder.size
            fed += 1
            if data.draw(st.integers(0, 9)) == 0:
                decoder.restart()
        decoder.drain()
    except (BrokenMedia, FrameTooLarge):
        pass
    else:
        assert fed == len(media.units)


@settings(max_examples=100, deadline=None)
@given(
    codec=st.sampled_from(list(Codec)),
    extradata=st.binary(max_size=200),
    bodies=st.lists(st.binary(max_size=300), max_size=12),
)
def test_random_bytes(codec: Codec, extradata: bytes, bodies: list[bytes]) -> None:
    try:
        decoder = Decoder(codec, extradata)
        for index, body in enumerate(bodies):
            decoder.decode(unit(body, index, True))
        decoder.drain()
    except (BrokenMedia, InvalidInput):
        pass
    else:
        assert sum(decoder.errors.values()) + decoder.decoded <= 2 * len(bodies) + 2
