"""The window: combines the samples of the last seconds into one score per category."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.detect.manifest import Category, MotionSpec, WindowHead
from edge.domain import ModelKind, Signal, SignalSource, Tier

MAX_SAMPLES = 256
"""Most samples in a window. It bounds the memory for any timestamps."""
STEP_MS = 450
"""Longest media time between two samples whose change is evidence, a little over twice the usual."""


@dataclass(frozen=True, slots=True)
class SampleScore:
    """The detector's result for one sample.

    ``embedding``: float32 ``(D,)``; ``logits``: float32 ``(C,)``; ``scores``: float32 ``(C,)``,
    calibrated per-sample probabilities in the order of the detector's categories.
    """

    embedding: NDArray[np.float32]
    logits: NDArray[np.float32]
    scores: NDArray[np.float32]


class _Entry(NamedTuple):
    pts_ms: int
    sample: SampleScore


class DetectWindow:
    """The samples of one stream in the last ``window_ms``. Pure: time comes in as ``pts_ms``."""

    def __init__(self, manifest: MotionSpec) -> None:
        self._window_ms = manifest.window_ms
        self._categories = manifest.categories
        self._entries: deque[_Entry] = deque(maxlen=MAX_SAMPLES)
        self._tier: Tier | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def reset(self) -> None:
        """Forgets all samples, as after a gap or a change of the stream's format."""
        self._entries.clear()

    def add_sample(self, pts_ms: int, sample: SampleScore, tier: Tier) -> tuple[Signal, ...]:
        """Adds a sample. Returns one signal per category: the calibrated probability that the window shows
        it.

        A time that goes back starts a new window, because the older samples cannot be ordered against it.
        When the tier goes from calm to alert, only very recent samples stay. The head was trained on
        changes over two tenths of a second. The change since a sample that is seconds old is something
        else.
        """
        if self._entries and pts_ms <= self._entries[-1].pts_ms:
            self._entries.clear()
        if self._tier is Tier.CALM and tier is Tier.ALERT:
            while self._entries and self._entries[0].pts_ms < pts_ms - STEP_MS:
                self._entries.popleft()
        self._tier = tier
        self._entries.append(_Entry(pts_ms, sample))
        while self._entries[0].pts_ms < pts_ms - self._window_ms:
            self._entries.popleft()
        embeddings = np.stack([entry.sample.embedding for entry in self._entries])
        logits = np.stack([entry.sample.logits for entry in self._entries])
        return tuple(
            self._signal(category, embeddings, logits[:, column], pts_ms, tier)
            for column, category in enumerate(self._categories)
        )

    def _signal(
        self,
        category: Category,
        embeddings: NDArray[np.float32],
        logits: NDArray[np.float32],
        pts_ms: int,
        tier: Tier,
    ) -> Signal:
        """Builds a category's signal. In the calm tier the mean of the logits counts, in alert the window
        head.

        Calm samples are seconds apart, so the change between them is no evidence.
        """
        if tier is Tier.CALM:
            raw = float(logits.mean(dtype=np.float64))
        else:
            raw = window_logit(category.head, embeddings, logits)
        return Signal(
            source=SignalSource.DETECT,
            category=category.name,
            pts_ms=pts_ms,
            score=category.window.of(tier).probability(raw),
            detail=f"{len(embeddings)} samples, {tier} tier",
            kind=ModelKind.MOTION,
            samples=len(embeddings),
        )


def window_logit(head: WindowHead, embeddings: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """Returns the raw window score from embeddings ``(S, D)`` and one category's logits ``(S,)``, S >= 1."""
    total = head.bias + head.logit_mean * float(logits.mean(dtype=np.float64))
    if head.mean:
        total += float(embeddings.mean(axis=0, dtype=np.float64) @ np.asarray(head.mean))
    if head.change and len(embeddings) > 1:
        change = np.abs(np.diff(embeddings, axis=0)).mean(axis=0, dtype=np.float64)
        total += float(change @ np.asarray(head.change))
    return total
