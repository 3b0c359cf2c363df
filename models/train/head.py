"""The trained part of the detector: a sample score and a window head, both linear on embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from edge.detect.manifest import WindowHead
from edge.detect.window import window_logit

WINDOW_SAMPLES = 10
"""Samples of a full alert-tier window: 2 s at one sample every 200 ms."""
HALF_WINDOW = WINDOW_SAMPLES // 2
WINDOWS = 6
"""Most full windows taken from a clip, spread evenly. Shorter windows only add noise, because their change
comes from a few samples."""
SAMPLES = 20
"""Most samples taken from a clip, spread evenly."""
NUISANCE = 3
"""Number of directions projected out of the features before fitting."""
STRENGTH = 2.7e-5
"""Inverse of the L2 penalty, per violent clip.

The penalty is strong because there are more features than clips, and stronger the fewer violent clips there
are.
"""

Features = NDArray[np.float32]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Head:
    """``logit = embedding @ score_weight + score_bias``. ``window`` works on embeddings."""

    score_weight: Features
    score_bias: float
    window: WindowHead

    def sample_logits(self, embeddings: Features) -> Features:
        """float32 ``(S, D)`` → ``(S,)``."""
        return np.asarray(embeddings @ self.score_weight + self.score_bias, dtype=np.float32)

    def window_logits(self, embeddings: Features, spans: list[tuple[int, int]]) -> NDArray[np.float64]:
        """Raw scores of half-open sample ranges."""
        logits = self.sample_logits(embeddings)
        return np.array([window_logit(self.window, embeddings[a:b], logits[a:b]) for a, b in spans])


def fit_head(features: list[Features], violent: Labels, sources: NDArray[np.str_]) -> Head:
    """Fits on clips of ``(S, D)`` features. Every clip has the same weight, and the classes are balanced.

    The calm clips of sources differ too, by camera, compression and subject. These differences say nothing
    about violence. But a fit would use them, because some sources have no violent clip. So the ``NUISANCE``
    leading directions between the means of the sources' calm clips are projected out (nuisance attribute
    projection, Solomonoff et al. 2005).
    """
    share = np.where(violent, 0.5 / violent.mean(), 0.5 / (1 - violent.mean()))
    samples, windows = _Rows(), _Rows()
    for embeddings, label, source, weight in zip(features, violent, sources, share, strict=True):
        chosen = _spread(len(embeddings) - 1, SAMPLES)
        samples.add(embeddings[chosen], bool(label), str(source), float(weight))
        spans = training_spans(len(embeddings))
        rows = np.stack([pooled(embeddings[a:b]) for a, b in spans])
        windows.add(rows, bool(label), str(source), float(weight))
    strength = STRENGTH * int(violent.sum())
    score_weight, score_bias = samples.fit(strength)
    weight, bias = windows.fit(strength)
    size = features[0].shape[1]
    return Head(
        score_weight=score_weight.astype(np.float32),
        score_bias=score_bias,
        window=WindowHead(
            mean=tuple(float(f"{value:.6g}") for value in weight[:size]),
            change=tuple(float(f"{value:.6g}") for value in weight[size:]),
            bias=round(bias, 6),
        ),
    )


def pooled(embeddings: Features) -> NDArray[np.float64]:
    """Mean and mean absolute change, ``(2 D,)``: the input of the window head."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    if len(embeddings) == 1:
        return np.concatenate([mean, np.zeros_like(mean)])
    return np.concatenate([mean, np.abs(np.diff(embeddings, axis=0)).mean(axis=0, dtype=np.float64)])


def training_spans(samples: int) -> list[tuple[int, int]]:
    """Half-open ranges of one full window each, spread evenly. The whole clip if it is shorter."""
    length = min(WINDOW_SAMPLES, samples)
    return [(start, start + length) for start in _spread(samples - length, WINDOWS)]


def _spread(last: int, count: int) -> list[int]:
    """At most ``count`` whole numbers from 0 to ``last``, spread evenly."""
    return sorted({round(value) for value in np.linspace(0, last, count).tolist()})


def live_spans(samples: int) -> list[tuple[int, int]]:
    """The window that ends at each sample, as in the alert tier."""
    return [(max(0, end - WINDOW_SAMPLES), end) for end in range(1, samples + 1)]


class _Rows:
    """Weighted rows of a regression. The rows of a clip share its weight."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.floating]] = []
        self._labels: list[bool] = []
        self._sources: list[str] = []
        self._weights: list[float] = []

    def add(self, rows: NDArray[np.floating], label: bool, source: str, weight: float) -> None:
        self._rows.append(rows)
        self._labels += [label] * len(rows)
        self._sources += [source] * len(rows)
        self._weights += [weight / len(rows)] * len(rows)

    def fit(self, strength: float) -> tuple[NDArray[np.float64], float]:
        """Returns weights and bias for the raw rows; standardisation and projection are folded in.

        ``strength`` is the inverse of the L2 penalty.
        """
        rows = np.concatenate(self._rows).astype(np.float64)
        scaler = StandardScaler().fit(rows, sample_weight=self._weights)
        scaled = scaler.transform(rows)
        nuisance = self._nuisance(scaled)
        scaled -= (scaled @ nuisance.T) @ nuisance
        fit = LogisticRegression(C=strength, max_iter=1000)
        fit.fit(scaled, self._labels, sample_weight=self._weights)
        weight = (fit.coef_[0] - (fit.coef_[0] @ nuisance.T) @ nuisance) / scaler.scale_
        return weight, float(fit.intercept_[0] - weight @ scaler.mean_)

    def _nuisance(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Orthonormal rows that span the differences between the sources' calm clips."""
        sources, weights = np.array(self._sources), np.array(self._weights)
        calm = ~np.array(self._labels)
        means = np.array(
            [
                np.average(
                    scaled[calm & (sources == name)], axis=0, weights=weights[calm & (sources == name)]
                )
                for name in np.unique(sources[calm])
            ]
        )
        _, _, directions = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
        return directions[: min(NUISANCE, len(means) - 1)]
