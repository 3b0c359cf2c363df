"""The graph's input for a clip's samples: steadied focus crops, from the cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.detect.focus import focus
from edge.detect.steady import steady
from models.train.cache import cached_pictures
from models.train.index import DATA, SEED, Clip
from models.train.sampling import triples

SIZE = 224
"""Side of the crop: four fifths of the frame's shorter side."""
SHAKE = 3
"""Standard deviation of a simulated hand's shift between two frames, in pixels."""


def clip_samples(clip: Clip, shake: bool = False) -> NDArray[np.uint8]:
    """Crops of every dense sample, uint8 ``(S, 3, SIZE, SIZE)``. ``shake`` simulates an unsteady hand."""
    stored = cached_pictures(clip.key, DATA / clip.path)
    pictures = shaken(stored.pictures, clip.key) if shake else stored.pictures
    return np.stack([seen(pictures[triple]) for triple in triples(stored.pts_ms)])


def shaken(pictures: NDArray[np.uint8], key: str) -> NDArray[np.uint8]:
    """Crops each frame at a random place, as if a hand held the camera.

    uint8 ``(N, h, w)`` → ``(N, h - 2 m, w - 2 m)``. Between two frames the shift is ``SHAKE`` pixels (σ)
    in each direction. The same ``key`` gives the same shake.
    """
    _, height, width = pictures.shape
    margin = 4 * SHAKE
    random = np.random.default_rng([SEED, *key.encode()])
    offsets = random.normal(0, SHAKE / np.sqrt(2), (len(pictures), 2)).round().astype(int)
    offsets = np.clip(offsets, -margin, margin) + margin
    kept_height, kept_width = height - 2 * margin, width - 2 * margin
    return np.stack(
        [
            picture[y : y + kept_height, x : x + kept_width]
            for picture, (y, x) in zip(pictures, offsets, strict=True)
        ]
    )


def motion(crops: NDArray[np.uint8]) -> float:
    """Motion in crops ``(S, 3, h, w)``: mean change in grey levels from first to last frame."""
    first, last = crops[:, 0].astype(np.int16), crops[:, 2].astype(np.int16)
    return float(np.abs(last - first).mean())


def seen(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The graph's input for three frames ``(3, h, w)``, as the detector makes it."""
    return focus(steady(pictures), SIZE)


def calibration_samples(clips: list[Clip], count: int = 48) -> list[NDArray[np.uint8]]:
    """One random sample from each of evenly spread clips, for the ranges of the int8 graph.

    There are few, because quantisation keeps all their activations in memory: 48 take 3 GB.
    """
    random = np.random.default_rng(SEED)
    samples = []
    for clip in clips[:: -(-len(clips) // count)]:
        stored = cached_pictures(clip.key, DATA / clip.path)
        indices = triples(stored.pts_ms)
        samples.append(seen(stored.pictures[indices[random.integers(len(indices))]]))
    return samples
