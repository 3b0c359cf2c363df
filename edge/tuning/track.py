"""What the pipeline saw of one file, small enough to keep: enough to judge it again under any thresholds.

A window's logit is linear in the embeddings' mean and in their absolute changes, so three numbers a sample
and category stand for the embedding: its product with the head's ``mean``, and the running sums of its
changes' products with the positive and the negative part of the head's ``change``. Put through the real
``DetectWindow`` under the reduced manifest they give the scores that the embeddings give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.detect.manifest import Manifest, WindowHead
from edge.detect.window import SampleScore

_PER_CATEGORY = 3


@dataclass(frozen=True, slots=True)
class Track:
    """One file's samples. Times: int64, milliseconds from the file's first frame, rising."""

    duration_ms: int
    alert_ms: NDArray[np.int64]
    """``(N,)``: samples of the alert tier, held for all of the file."""
    alert_reduced: NDArray[np.float64]
    """``(N, 3 C)``: reduced embeddings."""
    alert_logits: NDArray[np.float64]
    """``(N, C)``"""
    calm_ms: NDArray[np.int64]
    """``(M,)``: samples of the calm tier, held for all of the file."""
    calm_logits: NDArray[np.float64]
    """``(M, C)``"""
    jumps_ms: NDArray[np.int64]
    """``(J,)``: when the bitrate jumped."""


class Reducer:
    """Reduces a stream's embeddings, one after the other."""

    def __init__(self, manifest: Manifest) -> None:
        heads = [category.head for category in manifest.categories]
        self._means = [np.asarray(head.mean) if head.mean else None for head in heads]
        self._changes = [np.asarray(head.change) if head.change else None for head in heads]
        self._last: NDArray[np.float32] | None = None
        self._sums = np.zeros((len(heads), 2))

    def add(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """float32 ``(D,)`` to float64 ``(3 C,)``."""
        row = np.zeros((len(self._means), _PER_CATEGORY))
        change = None if self._last is None else np.abs(embedding - self._last).astype(np.float64)
        self._last = embedding
        for index, (mean, weights) in enumerate(zip(self._means, self._changes, strict=True)):
            if mean is not None:
                row[index, 0] = embedding.astype(np.float64) @ mean
            if weights is not None and change is not None:
                self._sums[index] += change @ np.maximum(weights, 0), change @ np.maximum(-weights, 0)
        row[:, 1:] = self._sums
        return row.reshape(-1)


def reduced(manifest: Manifest) -> Manifest:
    """The manifest under which reduced embeddings are judged as the embeddings are under ``manifest``."""
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
    """Collects a file's samples."""

    def __init__(self, manifest: Manifest) -> None:
        self._reducer = Reducer(manifest)
        self._categories = len(manifest.categories)
        self._alert: list[tuple[int, NDArray[np.float64], NDArray[np.float32]]] = []
        self._calm: list[tuple[int, NDArray[np.float32]]] = []
        self.jumps: list[int] = []

    def add_alert(self, pts_ms: int, sample: SampleScore) -> None:
        if not self._alert or pts_ms > self._alert[-1][0]:
            self._alert.append((pts_ms, self._reducer.add(sample.embedding), sample.logits))

    def add_calm(self, pts_ms: int, sample: SampleScore) -> None:
        if not self._calm or pts_ms > self._calm[-1][0]:
            self._calm.append((pts_ms, sample.logits))

    def build(self, start_ms: int, duration_ms: int) -> Track:
        """``start_ms``: media time of the first frame."""
        count = self._categories
        return Track(
            duration_ms=duration_ms,
            alert_ms=np.array([pts - start_ms for pts, *_ in self._alert], dtype=np.int64),
            alert_reduced=_rows([row for _, row, _ in self._alert], _PER_CATEGORY * count),
            alert_logits=_rows([logits for *_, logits in self._alert], count),
            calm_ms=np.array([pts - start_ms for pts, _ in self._calm], dtype=np.int64),
            calm_logits=_rows([logits for _, logits in self._calm], count),
            jumps_ms=np.array(sorted(pts - start_ms for pts in self.jumps), dtype=np.int64),
        )


def _rows(rows: list[NDArray[np.float64]] | list[NDArray[np.float32]], width: int) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)
