"""Recorded files: readable ones are read, and unreadable ones give a reason."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.domain import Codec
from edge.errors import BrokenMedia, GateError, MediaError
from edge.evidence import write_clip
from edge.stream import Decoder, open_media_file
from edge.stream.synthetic import encode, moving_square


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    media = encode(frames=30, gop=10, b_frames=2)
    return write_clip(media.units, Codec.H264, media.extradata, tmp_path_factory.mktemp("clips"), "clip").path


def written(path: Path, codec: str, pix_fmt: str = "yuv420p", frames: int = 10, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        container.start_encoding()
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(moving_square(index, 48, 64), format="gray")
            container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.mux(stream.encode(None))
    return path


def test_units_start_at_zero_in_decoding_order(clip: Path) -> None:
    with open_media_file(clip) as media:
        units = list(media.units())
        assert media.codec is Codec.H264
        assert media.duration_s == pytest.approx(1.0, abs=0.1)
    assert units[0].pts_ms == 0
    assert units[0].keyframe
    assert [u.dts_ms for u in units] == sorted(u.dts_ms for u in units)
    assert sorted(u.pts_ms for u in units) == [round(i * 1000 / 30) for i in range(30)]


@pytest.mark.parametrize(
    ("name", "encoder", "codec"),
    [
        ("a.avi", "mpeg4", "mpeg4"),
        ("a.avi", "mjpeg", "mjpeg"),
        ("a.mpg", "mpeg2video", "mpeg2video"),
        ("a.flv", "flv", "flv"),
        ("a.webm", "libvpx", "vp8"),
        ("a.mkv", "libx265", Codec.HEVC),
        ("a.ts", "libx264", Codec.H264),
        ("a.avi", "wmv1", "wmv1"),
        ("a.avi", "wmv2", "wmv2"),
        ("a.avi", "msmpeg4v2", "msmpeg4v2"),
        ("a.avi", "msmpeg4", "msmpeg4"),
        ("a.avi", "huffyuv", "huffyuv"),
        ("a.avi", "rawvideo", "rawvideo"),
        ("a.mkv", "ffv1", "ffv1"),
    ],
)
def test_codecs_that_only_files_hold(name: str, encoder: str, codec: str, tmp_path: Path) -> None:
    pix_fmt = {"mjpeg": "yuvj420p", "huffyuv": "yuv422p"}.get(encoder, "yuv420p")
    path = written(tmp_path / name, encoder, pix_fmt)
    with open_media_file(path) as media:
        assert media.codec.value == codec
        assert isinstance(media.codec, Codec) is isinstance(codec, Codec)
        decoder = Decoder(media.codec, media.extradata)
        frames = [f for u in media.units() for f in decoder.decode(u)] + decoder.drain()
    assert len(frames) == 10


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_media_file(tmp_path / "none.mp4"):
        pass


@pytest.mark.parametrize("content", [b"", b"no media at all", b"\x00" * 5000, bytes(range(256)) * 40])
def test_file_that_is_no_media(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"x\.mp4"), open_media_file(path) as media:
        list(media.units())


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as tone:
        tone.setparams((1, 2, 8000, 0, "NONE", ""))
        tone.writeframes(bytes(16_000))
    with pytest.raises(MediaError, match=r"no video stream \(audio only\)"), open_media_file(path):
        pass


def test_codec_that_nobody_knows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mkv", "ffv1")
    path.write_bytes(path.read_bytes().replace(b"V_FFV1", b"V_XYZ9"))
    with pytest.raises(MediaError, match="no readable codec parameters"), open_media_file(path):
        pass


def test_header_without_media(tmp_path: Path) -> None:
    path = written(tmp_path / "empty.avi", "mpeg4", frames=0)
    with pytest.raises(MediaError, match=r"empty\.avi"), open_media_file(path) as media:
        list(media.units())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_truncated_and_flipped_files(data: st.DataObject, clip: Path, tmp_path: Path) -> None:
    body = bytearray(clip.read_bytes())
    for _ in range(data.draw(st.integers(0, 20))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "x.mp4"
    path.write_bytes(bytes(body[: data.draw(st.integers(0, len(body)))]))
    try:
        with open_media_file(path) as media:
            decoder = Decoder(media.codec, media.extradata)
            for unit in media.units():
                decoder.decode(unit)
            decoder.drain()
    except GateError:
        pass


def test_cover_frame_is_no_video(tmp_path: Path) -> None:
    picture = io.BytesIO()
    with av.open(picture, "w", format="image2pipe") as container:
        stream = container.add_stream("mjpeg", rate=1)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(moving_square(0, 32, 32), format="gray").reformat(
            format="yuvj420p"
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "song.mka"
    with av.open(str(path), "w", format="matroska") as container:
        audio = container.add_stream("pcm_s16le", rate=8000)
        container.add_attachment("cover.jpg", "image/jpeg", picture.getvalue())
        silence = av.AudioFrame(format="s16", layout="mono", samples=800)
        silence.sample_rate = 8000
        silence.planes[0].update(bytes(1600))
        assert isinstance(audio, av.AudioStream)
        container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    with pytest.raises(MediaError, match="audio only"), open_media_file(path):
        pass


def test_broken_media_says_what_was_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"no media")
    with pytest.raises(BrokenMedia) as raised, open_media_file(path):
        pass
    assert raised.value.reason == "broken_media"
    assert "cannot be read as media" in str(raised.value)
