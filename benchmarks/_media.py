"""Encoded media for benchmarks, held in memory and looped."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from edge.stream import open_media_file


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit of the loop; times from its start, milliseconds."""

    pts_ms: int
    dts_ms: int
    keyframe: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Loop:
    """A clip that starts with a keyframe and can be repeated without a gap."""

    codec: str
    extradata: bytes
    units: tuple[Unit, ...]
    duration_ms: int


def load_loop(
    source: Path,
    *,
    width: int = 1280,
    height: int = 720,
    fps: int = 30,
    gop_s: float = 2.0,
    seconds: float = 20.0,
) -> Loop:
    """The first seconds of a file as a live encoder would send them: H.264, zero latency, fixed GOP."""
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
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "g": str(round(fps * gop_s)),
            "sc_threshold": "0",
        }
        stream = writer.add_stream("libx264", rate=fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 3_500_000
        wanted = round(seconds * fps)
        written = 0
        while written < wanted:
            before = written
            reader.seek(0)
            for frame in reader.decode(video=0):
                if frame.time is not None and frame.time * fps < written - before:
                    continue
                picture = frame.reformat(width, height, "yuv420p")
                picture.pts, picture.time_base = written, Fraction(1, fps)
                writer.mux(stream.encode(picture))
                written += 1
                if written >= wanted:
                    break
            if written == before:
                raise SystemExit(f"{source}: no video frame in it")
        writer.mux(stream.encode())
