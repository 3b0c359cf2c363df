"""A compact record of what the pipeline saw of one file. It allows judging again under any thresholds.

A window's logit is linear in the mean of its embeddings and in their absolute changes. So three numbers for
each sample and category replace the embedding. The first is its product with the head's ``mean``. The others
are running sums of the changes' products with the positive and the negative part of the head's ``change``.
The real ``DetectWindow`` under the reduced manifest gives the same scores from them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.detect import MotionSpec, SampleScore, WindowHead

Embedding = NDArray[np.float32]
"""``(D,)``"""
_PER_CATEGORY = 3
_RECENT = 64
"""Number of alert samples kept, so a late calm sample can find its successor."""


@dataclass(frozen=True, slots=True)
class Track:
    """The samples of one file. Times are int64, milliseconds from the file's first frame, ascending."""

    duration_ms: int
    alert_ms: NDArray[np.int64]
    """``(N,)``: samples of a pipeline kept in alert tier throughout."""
    alert_reduced: NDArray[np.float64]
    """``(N, 3 C)``: reduced embeddings."""
    alert_logits: NDArray[np.float64]
    """``(N, C)``"""
    calm_ms: NDArray[np.int64]
    """``(M,)``: samples of a pipeline kept in calm tier throughout."""
    calm_reduced: NDArray[np.float64]
    """``(M, 3 C)``: reduced embeddings, with sums as before the following alert sample."""
    calm_logits: NDArray[np.float64]
    """``(M, C)``"""
    jumps_ms: NDArray[np.int64]
    """``(J,)``: times of bitrate jumps."""


class Reducer:
    """Reduces the embeddings of a stream."""

    def __init__(self, manifest: MotionSpec) -> None:
        heads = [category.head for category in manifest.categories]
        width = manifest.output.embedding_size
        self._mean = np.array([head.mean or (0.0,) * width for head in heads])
        change = np.array([head.change or (0.0,) * width for head in heads])
        self._change = np.stack([np.maximum(change, 0), np.maximum(-change, 0)], axis=1)

    def mean(self, embedding: Embedding) -> NDArray[np.float64]:
        """Its contribution to the window's mean, float64 ``(C,)``."""
        return np.asarray(self._mean @ embedding.astype(np.float64))

    def change(self, before: Embedding, after: Embedding) -> NDArray[np.float64]:
        """The contribution of the step between two samples to the sums of changes, float64 ``(C, 2)``."""
        return np.asarray(self._change @ np.abs(after - before).astype(np.float64))


def reduced(manifest: MotionSpec) -> MotionSpec:
    """The manifest under which reduced embeddings give the same scores as embeddings under ``manifest``."""
    width = _PER_CATEGORY * len(manifest.categories)
    categories = []
    for index, category in enumerate(manifest.categories):
        mean, change = [0.0] * width, [0.0] * width
        mean[_PER_CATEGORY * index] = 1.0
        change[_PER_CATEGORY * index + 1], change[_PER_CATEGORY * index + 2] = 1.0, -1.0
        head = WindowHead(
            mean=tuple(mean),
            change=tuple(change),
            logit_mean=category.head.logit_mean,
            bias=category.head.bias,
        )
        categories.append(category.model_copy(update={"head": head}))
    output = manifest.output.model_copy(update={"embedding_size": width})
    return manifest.model_copy(update={"output": output, "categories": tuple(categories)})


class TrackBuilder:
    """Collects the samples of a file. Alert and calm samples may interleave in any order."""

    def __init__(self, manifest: MotionSpec) -> None:
        self._reducer = Reducer(manifest)
        self._categories = len(manifest.categories)
        self._sums = np.zeros((self._categories, 2))
        self._recent: deque[tuple[int, Embedding, NDArray[np.float64]]] = deque(maxlen=_RECENT)
        self._waiting: list[tuple[int, int, Embedding]] = []
        self._alert: list[tuple[int, NDArray[np.float64], NDArray[np.float32]]] = []
        self._calm: list[tuple[int, NDArray[np.float64], NDArray[np.float32]]] = []
        self.jumps: list[int] = []

    def add_alert(self, pts_ms: int, sample: SampleScore) -> None:
        """Adds an alert sample. Drops one that is not later than the last."""
        if self._alert and pts_ms <= self._alert[-1][0]:
            return
        if self._recent:
            self._sums = self._sums + self._reducer.change(self._recent[-1][1], sample.embedding)
        self._recent.append((pts_ms, sample.embedding, self._sums))
        mean = self._reducer.mean(sample.embedding)
        self._alert.append((pts_ms, np.column_stack([mean, self._sums]), sample.logits))
        ready = [row for row in self._waiting if row[0] < pts_ms]
        self._waiting = [row for row in self._waiting if row[0] >= pts_ms]
        for _, index, embedding in ready:
            self._calm[index][1][:, 1:] = self._sums - self._reducer.change(embedding, sample.embedding)

    def add_calm(self, pts_ms: int, sample: SampleScore) -> None:
        """Adds a calm sample. Drops one that is not later than the last."""
        if self._calm and pts_ms <= self._calm[-1][0]:
            return
        row = np.column_stack([self._reducer.mean(sample.embedding), self._sums])
        following = next((recent for recent in self._recent if recent[0] > pts_ms), None)
        if following is None:
            self._waiting.append((pts_ms, len(self._calm), sample.embedding))
        else:
            row[:, 1:] = following[2] - self._reducer.change(sample.embedding, following[1])
        self._calm.append((pts_ms, row, sample.logits))

    def build(self, start_ms: int, duration_ms: int) -> Track:
        """Makes the track. ``start_ms`` is the media time of the first frame."""
        return Track(
            duration_ms,
            *self._columns(self._alert, start_ms),
            *self._columns(self._calm, start_ms),
            jumps_ms=np.array(sorted(pts - start_ms for pts in self.jumps), dtype=np.int64),
        )

    def _columns(
        self, samples: list[tuple[int, NDArray[np.float64], NDArray[np.float32]]], start_ms: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        count, categories = len(samples), self._categories
        return (
            np.array([pts - start_ms for pts, *_ in samples], dtype=np.int64),
            np.array([row for _, row, _ in samples]).reshape(count, _PER_CATEGORY * categories),
            np.array([logits for *_, logits in samples], dtype=np.float64).reshape(count, categories),
        )
