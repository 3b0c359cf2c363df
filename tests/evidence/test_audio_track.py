"""A clip lets a person hear what the gate heard, where it was heard."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.domain import AccessUnit, Audio, Codec
from edge.errors import BrokenMedia
from edge.evidence import EvidenceClip, write_clip
from edge.stream.synthetic import EncodedMedia, encode
from tests.conftest import require
from tests.evidence.sounds import ENCODERS, bursts, encoded_audio, heard_at

BEGIN_MS = 70_000


@cache
def picture(codec: Codec = Codec.H264, b_frames: int = 0) -> EncodedMedia:
    """Six seconds that begin at BEGIN_MS."""
    media = encode(codec, frames=90, fps=15, gop=15, size=(48, 64), b_frames=b_frames)
    return replace(media, units=at_begin(media))


def at_begin(media: EncodedMedia) -> tuple[AccessUnit, ...]:
    return tuple(replace(u, pts_ms=u.pts_ms + BEGIN_MS, dts_ms=u.dts_ms + BEGIN_MS) for u in media.units)


@cache
def sound(codec: str) -> tuple[Audio, ...]:
    return tuple(encoded_audio(bursts(6, [1, 2.5, 4]), codec, begin_ms=BEGIN_MS))


def clip(folder: Path, audio: Sequence[Audio], media: EncodedMedia | None = None) -> EvidenceClip:
    media = media or picture()
    return write_clip(media.units, media.codec, media.extradata, folder, "in_1", audio=audio)


def frames_shown(path: Path) -> int:
    with av.open(str(path)) as media:
        return sum(1 for _ in media.decode(video=0))


@pytest.mark.parametrize("codec", list(ENCODERS))
@pytest.mark.parametrize("shown", list(Codec))
def test_every_audio_beside_every_frame(codec: str, shown: Codec, tmp_path: Path) -> None:
    written = clip(tmp_path, sound(codec), picture(shown))
    assert heard_at(written.path) == pytest.approx([1, 2.5, 4], abs=0.06)
    assert frames_shown(written.path) == 90


@pytest.mark.parametrize("codec", list(ENCODERS))
def test_audio_alone_is_a_clip_that_can_be_heard(codec: str, tmp_path: Path) -> None:
    written = write_clip((), Codec.H264, b"", tmp_path, "in_1", audio=sound(codec))
    assert heard_at(written.path) == pytest.approx([1, 2.5, 4], abs=0.06)
    span_ms = written.start_pts_ms - BEGIN_MS, written.end_pts_ms - BEGIN_MS
    assert span_ms == pytest.approx((0, 6000), abs=100)
    with av.open(str(written.path)) as media:
        assert not media.streams.video


def test_neither_frame_nor_audio_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(BrokenMedia):
        write_clip((), Codec.H264, b"", tmp_path, "in_1")
    with pytest.raises(BrokenMedia):
        write_clip((), Codec.H264, b"", tmp_path, "in_1", audio=(Audio("aac", b"", ((0, b"x"),)),))
    assert not list(tmp_path.iterdir())


def test_what_was_heard_before_the_first_frame_is_left_out(tmp_path: Path) -> None:
    audio = encoded_audio(bursts(12, [2, 5, 7]), begin_ms=BEGIN_MS - 4_000)
    assert heard_at(clip(tmp_path, audio).path) == pytest.approx([1, 3], abs=0.06)


def test_what_comes_long_after_the_last_frame_is_left_out(tmp_path: Path) -> None:
    audio = encoded_audio(bursts(12, [5, 9]), begin_ms=BEGIN_MS)
    assert heard_at(clip(tmp_path, audio).path) == pytest.approx([5], abs=0.06)


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    audio = encoded_audio(bursts(6, [0.5, 4.5]), begin_ms=BEGIN_MS, a_message=20)
    kept = [each for each in audio if not BEGIN_MS + 1_000 < each.units[0][0] < BEGIN_MS + 4_000]
    assert len(kept) < len(audio) - 3
    assert heard_at(clip(tmp_path, kept).path) == pytest.approx([0.5, 4.5], abs=0.06)


def test_stamps_that_stand_still_hide_no_audio(tmp_path: Path) -> None:
    audio = encoded_audio(bursts(6, [1, 4]), begin_ms=BEGIN_MS)
    stuck = [replace(each, units=tuple((BEGIN_MS, data) for _, data in each.units)) for each in audio]
    assert heard_at(clip(tmp_path, stuck).path) == pytest.approx([1, 4], abs=0.06)


def test_frames_that_no_clip_can_hold_are_left_out(tmp_path: Path) -> None:
    audio = encoded_audio(bursts(6, [1, 4]), begin_ms=BEGIN_MS)
    huge = Audio(audio[0].codec, audio[0].extradata, ((BEGIN_MS + 3_000, bytes(9_000)),))
    assert heard_at(clip(tmp_path, [*audio[:4], huge, *audio[4:]]).path)[0] == pytest.approx(1, abs=0.06)


def test_a_change_of_codec_at_the_end_takes_no_audio_away(tmp_path: Path) -> None:
    audio = encoded_audio(bursts(6, [1]), begin_ms=BEGIN_MS)
    other = encoded_audio(bursts(0.2, []), "mp3", begin_ms=BEGIN_MS + 5_800)
    assert heard_at(clip(tmp_path, [*audio, *other]).path) == pytest.approx([1], abs=0.06)


def test_reordered_frames_keep_their_audio(tmp_path: Path) -> None:
    audio = encoded_audio(bursts(6, [3]), begin_ms=BEGIN_MS)
    written = clip(tmp_path, audio, picture(b_frames=2))
    assert heard_at(written.path) == pytest.approx([3], abs=0.2)
    assert frames_shown(written.path) == 90


def test_ffprobe_finds_no_fault(tmp_path: Path) -> None:
    require(shutil.which("ffprobe") is not None, "ffprobe")
    written = clip(tmp_path, encoded_audio(bursts(6, [1]), begin_ms=BEGIN_MS))
    command = [
        "ffprobe",
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "stream=codec_type,nb_read_frames",
        "-of",
        "csv=p=0",
    ]
    result = subprocess.run([*command, str(written.path)], capture_output=True, check=True, text=True)
    assert result.stderr == ""
    assert result.stdout.splitlines()[0] == "video,90"
    assert result.stdout.splitlines()[1].startswith("audio,28")


@pytest.mark.parametrize(
    "audio",
    [
        [],
        [Audio("aac", b"\x12\x10", ())],
        [Audio("flac", b"", ((BEGIN_MS, b"x"),))],
        [Audio("aac", b"", ((BEGIN_MS, b"x"),))],
        [Audio("aac", b"\xff\xff", ((BEGIN_MS, b"x"),))],
        [Audio("opus", b"nothing", ((BEGIN_MS, b"x"),))],
        [Audio("opus", b"OpusHead", ((BEGIN_MS, bytes(60_000)),))],
        [Audio("mp3", b"", ((BEGIN_MS, b""),))],
        [Audio("mp3", b"", ((BEGIN_MS, b"\xff"),))],
    ],
)
def test_audio_that_no_clip_can_hold_takes_nothing_from_the_frame(audio: list[Audio], tmp_path: Path) -> None:
    written = clip(tmp_path, audio)
    assert frames_shown(written.path) == 90
    with av.open(str(written.path)) as media:
        assert not media.streams.audio


CONFIGURATIONS = [b"\x12\x10", b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0", b""]
STAMPS = st.integers(BEGIN_MS - 500, BEGIN_MS + 3_000) | st.integers(-(2**63), 2**63 - 1)


@cache
def short() -> EncodedMedia:
    media = encode(frames=10, fps=15, gop=5, size=(48, 64))
    return replace(media, units=at_begin(media))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    codec=st.sampled_from(["aac", "mp3", "opus"]),
    extradata=st.sampled_from(CONFIGURATIONS) | st.binary(max_size=40),
    units=st.lists(st.tuples(STAMPS, st.binary(max_size=300)), max_size=20),
)
def test_no_audio_costs_the_clip(
    tmp_path: Path, codec: str, extradata: bytes, units: list[tuple[int, bytes]]
) -> None:
    written = clip(tmp_path, [Audio(codec, extradata, tuple(units))], short())
    assert frames_shown(written.path) == 10
