"""FLV video tags: watchable codecs are accepted, and unwatchable ones refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Codec
from edge.errors import InvalidInput, UnsupportedCodec
from edge.ingest.flv import TagKind, VideoTag, is_audio_config, parse_video


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x17\x00\x00\x00\x00avcC", VideoTag(TagKind.CONFIG, Codec.H264, True, 0, b"avcC")),
        (b"\x17\x01\x00\x00\x50unit", VideoTag(TagKind.FRAME, Codec.H264, True, 80, b"unit")),
        (b"\x27\x01\xff\xff\xffunit", VideoTag(TagKind.FRAME, Codec.H264, False, -1, b"unit")),
        (b"\x17\x02\x00\x00\x00", VideoTag(TagKind.OTHER, Codec.H264, True, 0, b"")),
        (b"\x57\x00", VideoTag(TagKind.OTHER, Codec.H264, False, 0, b"")),
        (b"\x90hvc1hvcC", VideoTag(TagKind.CONFIG, Codec.HEVC, True, 0, b"hvcC")),
        (b"\x91hvc1\x00\x00\x28unit", VideoTag(TagKind.FRAME, Codec.HEVC, True, 40, b"unit")),
        (b"\xa3hvc1unit", VideoTag(TagKind.FRAME, Codec.HEVC, False, 0, b"unit")),
        (b"\xa1av01unit", VideoTag(TagKind.FRAME, Codec.AV1, False, 0, b"unit")),
        (b"\x91vp09unit", VideoTag(TagKind.FRAME, Codec.VP9, True, 0, b"unit")),
        (b"\x90avc1avcC", VideoTag(TagKind.CONFIG, Codec.H264, True, 0, b"avcC")),
        (b"\x92hvc1", VideoTag(TagKind.OTHER, Codec.HEVC, False, 0, b"")),
    ],
)
def test_tags(payload: bytes, expected: VideoTag) -> None:
    assert parse_video(payload) == expected


@pytest.mark.parametrize(
    "payload",
    [b"\x12\x00", b"\x14\x00\x00\x00\x00", b"\x91vp08unit", b"\x96hvc1unit", b"\x97hvc1\x00"],
    ids=["sorenson", "vp6", "vp8", "multitrack", "modifier"],
)
def test_what_cannot_be_watched_is_refused(payload: bytes) -> None:
    with pytest.raises(UnsupportedCodec):
        parse_video(payload)


@pytest.mark.parametrize("payload", [b"", b"\x17\x01\x00", b"\x91hv", b"\x91hvc1\x00"])
def test_truncated_tags_are_named(payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_video(payload)


@given(st.binary(max_size=20))
def test_random_bytes_give_a_tag_or_a_named_error(payload: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        parse_video(payload)


def test_audio_configurations() -> None:
    assert is_audio_config(b"\xaf\x00\x12\x10")
    assert not is_audio_config(b"\xaf\x01data")
    assert is_audio_config(b"\x90Opus")
    assert not is_audio_config(b"\x91Opus")
    assert not is_audio_config(b"")
