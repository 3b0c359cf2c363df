"""Every clip decoded once: luma planes of all frames with their media time, on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge.detect.plane import PlaneScaler

CACHE = Path(os.environ.get("EDGE_TRAIN_CACHE", Path(__file__).with_name("cache")))


@dataclass(frozen=True, slots=True)
class Planes:
    """``planes``: uint8 ``(N, H, W)``, memory-mapped; ``pts_ms``: int64 ``(N,)``, ascending, from 0."""

    planes: NDArray[np.uint8]
    pts_ms: NDArray[np.int64]
    keyframes: NDArray[np.int64]
    """Indices of the frames that a keyframe carried."""


def decode_planes(path: Path, size: int, every_ms: int = 0) -> Planes:
    """Decodes a file to planes of ``size`` × ``size``; with ``every_ms`` keeps one frame in that time."""
    scaler = PlaneScaler(size, size)
    step = max(every_ms, 1)
    planes: list[NDArray[np.uint8]] = []
    times: list[int] = []
    keys: list[int] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            if frame.pts is None or frame.time_base is None:
                continue
            time_ms = round(float(frame.pts * frame.time_base) * 1000)
            if times and (time_ms <= times[-1] or time_ms // step == times[-1] // step):
                continue
            if frame.key_frame:
                keys.append(len(times))
            planes.append(scaler.plane(frame))
            times.append(time_ms)
    pts = np.array(times, dtype=np.int64)
    return Planes(np.stack(planes), pts - pts[0], np.array(keys, dtype=np.int64))


def cached_planes(key: str, path: Path, size: int, every_ms: int = 0) -> Planes:
    """:func:`decode_planes`, from disk where an earlier run has left it."""
    folder = CACHE / f"planes-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / f"{key}.npy"
    meta = folder / f"{key}.npz"
    if not meta.exists():
        decoded = decode_planes(path, size, every_ms)
        np.save(stored, decoded.planes)
        np.savez(meta.with_suffix(".part.npz"), pts_ms=decoded.pts_ms, keyframes=decoded.keyframes)
        meta.with_suffix(".part.npz").rename(meta)
    with np.load(meta) as arrays:
        return Planes(np.load(stored, mmap_mode="r"), arrays["pts_ms"], arrays["keyframes"])
