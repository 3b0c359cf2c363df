"""Joins recorded footage into one programme, as a live camera could have sent it.

For the demo, benchmarks and tests: parts of different sizes and rates become one FLV file of one size and
rate, with a keyframe every two seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from edge.errors import BrokenMedia
from edge.recorded_media import media_url, open_media

WIDTH, HEIGHT, RATE = 640, 360, 25


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a recorded file, repeated until ``duration_ms`` is filled."""

    path: Path
    duration_ms: int
    start_ms: int = 0


def write_programme(
    parts: Sequence[Part], out: Path, *, keyframe_s: float = 2.0, keyframe_at_parts: bool = True
) -> tuple[int, ...]:
    """Encodes the parts one after another to an FLV file. Returns the start of each part in milliseconds.

    Without ``keyframe_at_parts`` keyframes come every ``keyframe_s`` only, whatever the frame shows.
    Raises BrokenMedia with the path of a part without a decodable frame.
    """
    starts: list[int] = []
    index = 0
    with av.open(media_url(out), "w", format="flv") as container:
        options = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = round(RATE * keyframe_s)
        for part in parts:
            starts.append(round(index * 1000 / RATE))
            for number, frame in enumerate(_frames(part)):
                frame.pts, frame.time_base = index, Fraction(1, RATE)
                first = number == 0 and keyframe_at_parts
                frame.pict_type = PictureType.I if first else PictureType.NONE
                container.mux(stream.encode(frame))
                index += 1
        container.mux(stream.encode(None))
    return tuple(starts)


def _frames(part: Part) -> Iterator[av.VideoFrame]:
    """Frames of a part at the programme's rate, nearest in time, scaled to its size."""
    wanted = round(part.duration_ms * RATE / 1000)
    reformatter = VideoReformatter()
    made = 0
    while made < wanted:
        before = made
        first: float | None = None
        try:
            with open_media(part.path) as container:
                for frame in container.decode(video=0):
                    at = frame.time or 0.0
                    if at * 1000 < part.start_ms:
                        continue
                    first = at if first is None else first
                    due = round((at - first) * RATE) + 1
                    while before + due > made and made < wanted:
                        yield _fitted(frame, reformatter)
                        made += 1
                    if made >= wanted:
                        return
        except (av.error.FFmpegError, OSError) as error:
            raise BrokenMedia(f"{part.path}: {error.strerror or error}") from error
        if made == before:
            raise BrokenMedia(f"{part.path}: no frame from {part.start_ms} ms on")


def _fitted(frame: av.VideoFrame, reformatter: VideoReformatter) -> av.VideoFrame:
    return reformatter.reformat(frame, WIDTH, HEIGHT, "yuv420p")
