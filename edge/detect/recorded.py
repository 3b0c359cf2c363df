"""Checks with drawn samples that a model scores here as on the machine that exported it.

8-bit kernels differ between processors and versions of onnxruntime. So a manifest records the model's
logits of these samples. A machine on which the model scores differently is found before it judges anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge.detect.manifest import DrawnSample, ModelManifest
from edge.detect.window import SampleScore

TOLERANCE = 0.01
"""Most distance from a recorded score, as a probability. Rounding alone causes up to 0.002."""

Infer = Callable[[NDArray[np.uint8]], SampleScore]
DrawnScores = Mapping[DrawnSample, SampleScore]


def drawn_samples(height: int, width: int) -> dict[DrawnSample, NDArray[np.uint8]]:
    """Returns the drawn samples, uint8 ``(3, height, width)`` by name. They do not depend on the numpy
    version."""
    rows, columns = np.mgrid[0:height, 0:width]
    texture = ((np.sin(rows / 7) + np.cos(columns / 11)) * 50 + 128).astype(np.uint8)
    still = np.stack([texture] * 3)
    pan = np.stack([np.roll(texture, 6 * step, axis=1) for step in range(3)])
    walker, brawl = still.copy(), still.copy()
    draws = iter(_bytes("brawl", 3 * 12 * 3).tolist())
    for step in range(3):
        x = width // 3 + 8 * step
        walker[step, height // 2 : height // 2 + 60, x : x + 20] = 30
        for _ in range(12):
            y = height // 3 + next(draws) * (height // 6) // 256
            x = width // 3 + next(draws) * (width // 6) // 256
            brawl[step, y : y + 30, x : x + 14] = next(draws)
    noise = _bytes("noise", 3 * height * width).reshape(3, height, width)
    return {"still": still, "pan": pan, "walker": walker, "brawl": brawl, "noise": noise}


def drawn_scores(manifest: ModelManifest, infer: Infer) -> DrawnScores:
    """Returns the model's scores of every drawn sample."""
    samples = drawn_samples(manifest.input.height, manifest.input.width)
    return {name: infer(planes) for name, planes in samples.items()}


def recorded_logits(scores: DrawnScores) -> dict[DrawnSample, tuple[float, ...]]:
    """Returns the logits of every drawn sample, for ``ModelManifest.recorded``."""
    return {name: tuple(round(float(logit), 4) for logit in score.logits) for name, score in scores.items()}


def missed_by(manifest: ModelManifest, scores: DrawnScores) -> dict[DrawnSample, float]:
    """Returns how far the scores of recorded samples are from the recorded ones, as probabilities.

    Each sample has one distance, the largest of its categories. Empty where the manifest records nothing.
    """
    distances = {}
    for name, logits in manifest.recorded.items():
        recorded = [
            category.sample.probability(logit)
            for category, logit in zip(manifest.categories, logits, strict=True)
        ]
        distances[name] = float(np.abs(scores[name].scores - recorded).max())
    return distances


def scores_alike(one: DrawnScores, other: DrawnScores) -> bool:
    """Whether both have identical embeddings and logits for every drawn sample."""
    return all(
        np.array_equal(first.embedding, other[name].embedding)
        and np.array_equal(first.logits, other[name].logits)
        for name, first in one.items()
    )


def _bytes(name: str, count: int) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.shake_128(name.encode()).digest(count), dtype=np.uint8)
