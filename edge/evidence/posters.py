"""Poster frames of a clip: which moments, how they are made, and how they are kept in one file.

The file is one line of JSON, ``[{"clip_ms": …, "bytes": …}, …]``, and then the JPEGs one after another.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.video.frame import VideoFrame

from edge.errors import BrokenMedia
from edge.recorded_media import media_url

MOST_POSTERS: Final = 5
MAX_POSTER_BYTES: Final = 512 * 1024
MAX_BYTES: Final = MOST_POSTERS * MAX_POSTER_BYTES + 4096
"""Largest file of posters."""
_LONG_EDGE: Final = 640
_QUALITY: Final = "5"
"""Of FFmpeg's mjpeg, 2 (best) to 31."""
JPEG_HEAD: Final = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Poster:
    """One frame of a clip."""

    clip_ms: int
    """Time in the clip, which starts at 0."""
    jpeg: bytes


def poster_moments(length_ms: int, stretch_ms: tuple[int, int] | None) -> tuple[int, ...]:
    """Returns the moments of a clip that posters show, the most telling first. Pure.

    That is the middle of the stretch that the verdict rests on, or of the clip. Then come the ends of the
    stretch, and those of the clip.
    """
    begin_ms, end_ms = stretch_ms or (0, length_ms)
    wanted = ((begin_ms + end_ms) // 2, begin_ms, end_ms, 0, length_ms)
    return tuple(dict.fromkeys(min(max(0, each), max(0, length_ms)) for each in wanted))


def make_posters(path: Path, moments_ms: Sequence[int]) -> tuple[Poster, ...]:
    """Decodes the frames of a clip at these moments, in their order. Call it in a contained process.

    A moment after the last frame gets that one. Raises BrokenMedia where no frame can be decoded.
    """
    found: dict[int, Poster] = {}
    try:
        with av.open(media_url(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for moment_ms in moments_ms[:MOST_POSTERS]:
                frame = _frame_at(container, stream, moment_ms)
                if frame is not None:
                    found[moment_ms] = Poster(moment_ms, jpeg_of(frame))
    except (av.FFmpegError, IndexError, ValueError) as error:
        if not found:
            raise BrokenMedia(f"{path.name}: no frame of it can be shown: {error}") from error
    if not found:
        raise BrokenMedia(f"{path.name}: no frame of it can be decoded")
    return tuple(found.values())


def _frame_at(
    container: av.container.InputContainer, stream: av.VideoStream, moment_ms: int
) -> VideoFrame | None:
    base = stream.time_base or Fraction(1, 1000)
    container.seek(int(moment_ms / 1000 / base), stream=stream, backward=True)
    shown: VideoFrame | None = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:  # the next one may be whole
            continue
        for frame in frames:
            if shown is not None and (frame.pts or 0) * base * 1000 > moment_ms:
                return shown
            shown = frame
    return shown


def jpeg_of(frame: VideoFrame, long_edge: int = _LONG_EDGE) -> bytes:
    """Returns a frame as a JPEG whose longer edge has at most ``long_edge`` pixels."""
    scale = min(1.0, long_edge / max(frame.width, frame.height))
    width, height = (max(2, round(edge * scale / 2) * 2) for edge in (frame.width, frame.height))
    picture = frame.reformat(width, height, format="yuvj420p")
    picture.pts = 0
    out = io.BytesIO()
    with av.open(out, "w", format="image2pipe") as container:
        stream = container.add_stream("mjpeg", rate=1, options={"q:v": _QUALITY, "qmin": _QUALITY})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return out.getvalue()


def posters_to_bytes(posters: Sequence[Poster]) -> bytes:
    """Returns the content of the file that holds these posters."""
    index = [{"clip_ms": poster.clip_ms, "bytes": len(poster.jpeg)} for poster in posters]
    return json.dumps(index).encode() + b"\n" + b"".join(poster.jpeg for poster in posters)


def posters_of_bytes(content: bytes) -> tuple[Poster, ...]:
    """Reads the content of a file of posters. A process that has read hostile media wrote it.

    Raises BrokenMedia for anything but bounded JPEGs.
    """
    try:
        return tuple(_posters(content))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenMedia(f"a file of posters is damaged: {error}") from None


def _posters(content: bytes) -> Iterator[Poster]:
    head, found, rest = content.partition(b"\n")
    if not found or len(content) > MAX_BYTES:
        raise ValueError("it has no index, or too many bytes")
    index = json.loads(head)
    if not isinstance(index, list) or len(index) > MOST_POSTERS:
        raise ValueError("its index is none")
    at = 0
    for entry in index:
        clip_ms, length = int(entry["clip_ms"]), int(entry["bytes"])
        jpeg = rest[at : at + length] if 0 < length <= MAX_POSTER_BYTES else b""
        if len(jpeg) != length or not jpeg.startswith(JPEG_HEAD) or clip_ms < 0:
            raise ValueError("one is no JPEG, or too large")
        yield Poster(clip_ms, jpeg)
        at += length
    if at != len(rest):
        raise ValueError("bytes follow the last one")
