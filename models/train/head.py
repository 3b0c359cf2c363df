"""The trainable end of the detector: a projection to the embedding, a score a sample, a window head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from edge.detect.manifest import WindowHead
from edge.detect.window import window_logit

EMBEDDING = 64
WINDOW_SAMPLES = 10
"""Samples of a full alert-tier window: 2 s at one every 200 ms."""
SEED = 20261123

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Head:
    """``embedding = features @ project_weight.T + project_bias``; ``logit = embedding @ score_weight +
    score_bias``; the window head works on embeddings."""

    project_weight: Features
    project_bias: Features
    score_weight: Features
    score_bias: float
    window: WindowHead

    def embed(self, features: Features) -> Features:
        """float32 ``(S, 1280)`` → ``(S, D)``."""
        return np.asarray(features @ self.project_weight.T + self.project_bias, dtype=np.float32)

    def sample_logits(self, embeddings: Features) -> Features:
        return np.asarray(embeddings @ self.score_weight + self.score_bias, dtype=np.float32)

    def window_logits(self, embeddings: Features, spans: list[tuple[int, int]]) -> list[float]:
        """Raw window scores of half-open sample ranges."""
        logits = self.sample_logits(embeddings)
        return [window_logit(self.window, embeddings[a:b], logits[a:b]) for a, b in spans]


def fit_head(features: list[Features], violent: NDArray[np.bool_], strength: float = 3e-4) -> Head:
    """Fits on clips of ``(S, 1280)`` features; every clip weighs the same, the classes are balanced."""
    weights = clip_weights(features, violent)
    stacked = np.concatenate(features)
    scaler = StandardScaler().fit(stacked)
    pca = PCA(EMBEDDING, random_state=SEED, whiten=True).fit(scaler.transform(stacked))
    rotate = pca.components_ / np.sqrt(pca.explained_variance_)[:, None] / scaler.scale_
    project_bias = -(rotate @ scaler.mean_) - (pca.components_ @ pca.mean_) / np.sqrt(pca.explained_variance_)
    project = rotate.astype(np.float32), project_bias.astype(np.float32)
    embeddings = [np.asarray(f @ project[0].T + project[1], dtype=np.float32) for f in features]
    labels = np.concatenate([np.full(len(e), v) for e, v in zip(embeddings, violent, strict=True)])
    sample = LogisticRegression(C=strength * len(features), max_iter=1000)
    sample.fit(np.concatenate(embeddings), labels, sample_weight=np.concatenate(weights))
    windows, window_labels, window_weights = _windows(embeddings, violent)
    window = LogisticRegression(C=strength * len(features), max_iter=1000)
    window.fit(windows, window_labels, sample_weight=window_weights)
    coefficients = window.coef_[0]
    return Head(
        project_weight=project[0],
        project_bias=project[1],
        score_weight=sample.coef_[0].astype(np.float32),
        score_bias=float(sample.intercept_[0]),
        window=WindowHead(
            mean=tuple(round(float(value), 6) for value in coefficients[:EMBEDDING]),
            change=tuple(round(float(value), 6) for value in coefficients[EMBEDDING:]),
            bias=float(window.intercept_[0]),
        ),
    )


def clip_weights(features: list[Features], violent: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """A weight for each sample of each clip: clips equal, classes balanced, mean 1 over clips."""
    share = np.where(violent, 0.5 / violent.mean(), 0.5 / (1 - violent.mean()))
    return [np.full(len(f), s / len(f)) for f, s in zip(features, share, strict=True)]


def spans(samples: int, length: int = WINDOW_SAMPLES) -> list[tuple[int, int]]:
    """The window that ends at each sample: half-open ranges of at most ``length`` samples."""
    return [(max(0, end - length), end) for end in range(1, samples + 1)]


def _windows(
    embeddings: list[Features], violent: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Windows of one sample up to a full one, so that the head holds on both tiers."""
    random = np.random.default_rng(SEED)
    rows, labels, weights = [], [], []
    share = np.where(violent, 0.5 / violent.mean(), 0.5 / (1 - violent.mean()))
    for embedding, label, weight in zip(embeddings, violent, share, strict=True):
        chosen = []
        for length in (1, 3, 5, WINDOW_SAMPLES):
            usable = min(length, len(embedding))
            starts = random.integers(0, len(embedding) - usable + 1, size=3)
            chosen += [(int(start), int(start) + usable) for start in starts]
        for start, end in chosen:
            window = embedding[start:end]
            change = np.abs(np.diff(window, axis=0)).mean(axis=0) if end - start > 1 else 0 * window[0]
            rows.append(np.concatenate([window.mean(axis=0), change]))
            labels.append(label)
            weights.append(weight / len(chosen))
    return np.array(rows), np.array(labels), np.array(weights)
