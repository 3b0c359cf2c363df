"""Checks with drawn samples that a motion model scores here as on the machine that exported it.

8-bit kernels differ between processors and versions of onnxruntime. So a manifest records the model's
logits of these samples, and those of their windows, by which the gate decides. A machine on which the model
scores differently is found before it judges anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.detect.manifest import DrawnSample, MotionSpec
from edge.detect.window import SampleScore, window_logit
from edge.errors import ModelError

TOLERANCE = 0.01
"""Most distance from a recorded score, as a probability. Rounding alone causes up to 0.003."""
NOT_RECORDED = (
    "the manifest records no scores, so nothing shows that this machine computes them right; "
    "`python -m models.train.record DIR` records them where they are right"
)
_STEEPEST = 0.25
"""Largest slope of the logistic function."""

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


def drawn_scores(manifest: MotionSpec, infer: Infer) -> DrawnScores:
    """Returns the model's scores of every drawn sample."""
    samples = drawn_samples(manifest.input.height, manifest.input.width)
    return {name: infer(planes) for name, planes in samples.items()}


def recorded_logits(scores: DrawnScores) -> dict[DrawnSample, tuple[float, ...]]:
    """Returns the logits of every drawn sample, for ``MotionSpec.recorded``."""
    return {name: tuple(round(float(logit), 4) for logit in score.logits) for name, score in scores.items()}


def window_logits(manifest: MotionSpec, scores: DrawnScores) -> dict[DrawnSample, tuple[float, ...]]:
    """Returns the alert tier's window logits, for ``MotionSpec.recorded_windows``."""
    found: dict[DrawnSample, tuple[float, ...]] = {}
    for index, name in enumerate(scores, start=1):
        window = list(scores.values())[:index]
        embeddings = np.stack([score.embedding for score in window])
        logits = np.stack([score.logits for score in window])
        found[name] = tuple(
            round(window_logit(category.head, embeddings, logits[:, column]), 4)
            for column, category in enumerate(manifest.categories)
        )
    return found


def missed_by(manifest: MotionSpec, scores: DrawnScores) -> dict[str, float]:
    """Returns how far the scores of samples and windows are from the recorded ones, as probabilities.

    Each has one distance, the largest of its categories. That of a window is how far the same difference of
    logits would move a score of 0.5, which it moves most. Empty where the manifest records nothing.
    """
    distances: dict[str, float] = {}
    for name, logits in manifest.recorded.items():
        recorded = [
            category.sample.probability(logit)
            for category, logit in zip(manifest.categories, logits, strict=True)
        ]
        distances[f"sample {name!r}"] = float(np.abs(scores[name].scores - recorded).max())
    here = window_logits(manifest, scores) if manifest.recorded_windows else {}
    for name, logits in manifest.recorded_windows.items():
        slopes = [_STEEPEST * category.window.alert.slope for category in manifest.categories]
        distances[f"window {name!r}"] = float((np.abs(np.subtract(here[name], logits)) * slopes).max())
    return distances


def scores_alike(one: DrawnScores, other: DrawnScores) -> bool:
    """Whether both have identical embeddings and logits for every drawn sample."""
    return all(
        np.array_equal(first.embedding, other[name].embedding)
        and np.array_equal(first.logits, other[name].logits)
        for name, first in one.items()
    )


def within_tolerance(distances: Mapping[str, float]) -> bool:
    """Whether no distance is over TOLERANCE or no number."""
    return all(distance <= TOLERANCE for distance in distances.values())


def refuse_missed(path: Path, distances: Mapping[str, float]) -> None:
    """Raises ModelError where a distance, of a model of any kind, is over TOLERANCE or no number."""
    import onnxruntime as ort  # imported here because the supervisor reads manifests and opens no session

    for what, distance in distances.items():
        if not distance <= TOLERANCE:
            raise ModelError(
                f"{path}: {what} scores {distance:.3f} away from what the manifest recorded, "
                f"the limit is {TOLERANCE:g}: onnxruntime {ort.__version__} computes it differently "
                "on this processor; use another version of it or another processor (or record the scores "
                "anew, if the manifest was changed)"
            )


def _bytes(name: str, count: int) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.shake_128(name.encode()).digest(count), dtype=np.uint8)
