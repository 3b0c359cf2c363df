"""What the graph sees of a clip's samples: steadied focus crops, from the cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.detect.focus import focus
from edge.detect.steady import steady
from models.train.cache import cached_pictures
from models.train.index import DATA, SEED, Clip
from models.train.sampling import triples

SIZE = 224
"""Side of the crop: four fifths of the picture's shorter side."""


def clip_samples(clip: Clip) -> NDArray[np.uint8]:
    """Crops of every dense sample, uint8 ``(S, 3, SIZE, SIZE)``."""
    stored = cached_pictures(clip.key, DATA / clip.path)
    return np.stack([seen(stored.pictures[triple]) for triple in triples(stored.pts_ms)])


def seen(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the detector shows its graph of three pictures ``(3, h, w)``."""
    return focus(steady(pictures), SIZE)


def calibration_samples(clips: list[Clip], count: int = 48) -> list[NDArray[np.uint8]]:
    """One random sample from each of evenly spread clips, for the ranges of the int8 graph.

    Few, as quantisation keeps every activation of all of them in memory: 48 take 3 GB.
    """
    random = np.random.default_rng(SEED)
    samples = []
    for clip in clips[:: -(-len(clips) // count)]:
        stored = cached_pictures(clip.key, DATA / clip.path)
        indices = triples(stored.pts_ms)
        samples.append(seen(stored.pictures[indices[random.integers(len(indices))]]))
    return samples
