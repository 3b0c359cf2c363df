"""Encoded media for benchmarks, kept in memory and looped."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

from edge.stream import open_media_file


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit of the loop. Times are milliseconds from its start."""

    pts_ms: int
    dts_ms: int
    keyframe: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Loop:
    """A clip that starts with a keyframe and repeats without a gap."""

    codec: str
    extradata: bytes
    units: tuple[Unit, ...]
    duration_ms: int

    def begun_at(self, share: float) -> Loop:
        """Returns the same loop, starting at the last keyframe before ``share`` of its units."""
        place = int(share * len(self.units))
        first = max(number for number, unit in enumerate(self.units[: place + 1]) if unit.keyframe)
        shift_ms = self.units[first].dts_ms

        def later(unit: Unit, by_ms: int) -> Unit:
            return replace(unit, pts_ms=unit.pts_ms + by_ms, dts_ms=unit.dts_ms + by_ms)

        units = [later(unit, -shift_ms) for unit in self.units[first:]]
        units += [later(unit, self.duration_ms - shift_ms) for unit in self.units[:first]]
        return replace(self, units=tuple(units))


def load_loop(
    source: Path,
    *,
    width: int = 1280,
    height: int = 720,
    fps: int = 30,
    gop_s: float = 2.0,
    seconds: float = 20.0,
) -> Loop:
    """Encodes the first seconds of a file as a live encoder would: H.264, zero latency, fixed GOP."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop.mp4"
        _encode(source, path, width, height, fps, gop_s, seconds)
        with open_media_file(path) as media:
            units = list(media.units())
            start = units[0].dts_ms
            loop = tuple(
                Unit(unit.pts_ms - start, unit.dts_ms - start, unit.keyframe, bytes(unit.data))
                for unit in units
            )
            return Loop(media.codec.value, media.extradata, loop, round(len(loop) * 1000 / fps))


def _encode(
    source: Path, target: Path, width: int, height: int, fps: int, gop_s: float, seconds: float
) -> None:
    """Encodes frames forwards, then backwards. A jump at the loop's seam would look like a scene change."""
    frames = _frames(source, width, height, fps, round(seconds * fps / 2))
    options = {"preset": "veryfast", "tune": "zerolatency", "g": str(round(fps * gop_s)), "sc_threshold": "0"}
    with av.open(str(target), "w") as writer:
        stream = writer.add_stream("libx264", rate=fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 3_500_000
        for number, frame in enumerate((*frames, *reversed(frames))):
            frame.pts, frame.time_base = number, Fraction(1, fps)
            frame.pict_type = PictureType.NONE  # otherwise keyframes of the source stay keyframes
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode())


def _frames(source: Path, width: int, height: int, fps: int, wanted: int) -> list[av.VideoFrame]:
    """Returns the first frames, repeated where the source has fewer a second."""
    frames: list[av.VideoFrame] = []
    with av.open(str(source)) as reader:
        for frame in reader.decode(video=0):
            picture = frame.reformat(width, height, "yuv420p")
            while len(frames) < wanted and (frame.time or 0.0) * fps >= len(frames):
                frames.append(picture)
            if len(frames) >= wanted:
                break
    if not frames:
        raise SystemExit(f"{source}: no video frame in it")
    return frames
