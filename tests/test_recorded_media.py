"""Recorded files are opened as what they are, whatever they are called and whatever is in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from edge.errors import BrokenMedia, NotMedia
from edge.recorded_media import media_url, open_media
from tests.replay.test_replay import write_clip

NAMES = [
    "clip:1.mp4",
    "pipe:0",
    "concat:a|b.mp4",
    "http:clip.mp4",
    "100%.mp4",
    "a%03d.mp4",
    "what?#&.mp4",
    "-i.mp4",
    os.fsdecode(b"\xff\xfe.mp4"),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.ts", seconds=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, name)
    for path in (Path(name), tmp_path / name):
        with open_media(path) as media:
            assert media.streams.video


def write_image(path: Path, brightness: int) -> Path:
    with av.open(media_url(path), "w", format="image2", options={"update": "1"}) as media:
        stream = media.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "gray"
        picture = np.full((32, 32), brightness, np.uint8)
        media.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        media.mux(stream.encode())
    return path


def test_a_pattern_in_a_name_stands_for_itself_alone(tmp_path: Path) -> None:
    """FFmpeg takes ``shot%d.png`` for ``shot0.png``, ``shot1.png`` and so on."""
    for number in range(3):
        write_image(tmp_path / f"shot{number}.png", 100 + number)
    (tmp_path / "shot0.png").with_name("other.png").write_bytes((tmp_path / "shot2.png").read_bytes())
    (tmp_path / "other.png").rename(tmp_path / "shot%d.png")
    with open_media(tmp_path / "shot%d.png") as media:
        [picture] = [frame.to_ndarray(format="gray") for frame in media.decode(video=0)]
    assert picture[0, 0] == 102


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"not a video\n" * 50),
        ("release.nfo", b"art\n"),
        ("no-name", b""),
        ("table.csv", b"a,b\n1,2\n"),
        ("noise.bin", os.urandom(5000)),
        ("list.txt", b"ffconcat version 1.0\nfile clip.mp4\n"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.ts\n#EXT-X-ENDLIST\n"),
    ],
)
def test_what_is_no_media_is_said_to_be_none(tmp_path: Path, clip: Path, name: str, content: bytes) -> None:
    """FFmpeg draws text as frames. Lists of other files open these."""
    shutil.copy(clip, tmp_path / "clip.mp4")
    shutil.copy(clip, tmp_path / "clip.ts")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotMedia, match=name):
        open_media(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"text", os.urandom(3000)])
def test_a_name_that_promises_media_makes_it_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.MP4").write_bytes(content)
    with pytest.raises(BrokenMedia, match=r"clip\.MP4"):
        open_media(tmp_path / "clip.MP4")


def test_an_animated_webp_is_said_to_be_one(tmp_path: Path) -> None:
    """FFmpeg says of it that it is invalid data."""
    chunk = b"VP8X" + (10).to_bytes(4, "little") + b"\x02" + bytes(9)
    (tmp_path / "moving.webp").write_bytes(b"RIFF" + (22).to_bytes(4, "little") + b"WEBP" + chunk)
    with pytest.raises(BrokenMedia, match="no animated WebP; convert it"):
        open_media(tmp_path / "moving.webp")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    for path in (tmp_path / "fifo.mp4", tmp_path, tmp_path / "absent.mp4"):
        with pytest.raises(OSError, match=r"regular|No such|directory"):
            open_media(path)
