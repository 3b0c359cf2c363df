"""Decodes every clip once, and keeps the frames for its samples on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge.detect.plane import PlaneScaler
from models.train.sampling import DELTA_MS, closest

CACHE = Path(os.environ.get("EDGE_TRAIN_CACHE", Path(__file__).with_name(".cache")))
PLANE = 512
SHORT_SIDE = 280
"""The detector's plane is 512 × 512. The frame in it has 280 pixels on its shorter side."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """``pictures`` is uint8 ``(N, h, w)``, memory-mapped. ``pts_ms`` is int64 ``(N,)``, ascending from 0."""

    pictures: NDArray[np.uint8]
    pts_ms: NDArray[np.int64]


def decode_frames(path: Path) -> Pictures:
    """Decodes the frames closest to 0, δ, 2 δ … as in the detector's plane, but without its bars.

    A clip that changes its resolution ends there.
    """
    scaler = PlaneScaler(PLANE, PLANE, SHORT_SIDE)
    pictures: list[NDArray[np.uint8]] = []
    times: list[int] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            if frame.pts is None or frame.time_base is None:
                continue
            time_ms = round(float(frame.pts * frame.time_base) * 1000)
            if times and time_ms <= times[-1]:
                continue
            picture = scaler.picture(frame)
            if pictures and picture.shape != pictures[0].shape:
                break
            pictures.append(picture)
            times.append(time_ms)
    pts_ms = np.array(times, dtype=np.int64)
    pts_ms -= pts_ms[0]
    kept = np.unique(closest(pts_ms, np.arange(0, int(pts_ms[-1]) + DELTA_MS, DELTA_MS)))
    return Pictures(np.stack([pictures[index] for index in kept]), pts_ms[kept])


def cached_pictures(key: str, path: Path) -> Pictures:
    """The same as :func:`decode_frames`, from disk if an earlier run stored the clip."""
    folder = CACHE / f"pictures-{PLANE}-{SHORT_SIDE}"
    folder.mkdir(parents=True, exist_ok=True)
    stored, times = folder / f"{key}.npy", folder / f"{key}.pts.npy"
    if not times.exists():
        decoded = decode_frames(path)
        np.save(stored, decoded.pictures)
        part = times.with_name(f"{key}.part.npy")
        np.save(part, decoded.pts_ms)
        part.rename(times)
    return Pictures(np.load(stored, mmap_mode="r"), np.load(times))
