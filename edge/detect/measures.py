"""Measures the quality of scores: ranking, recall at a precision, calibration. Pure.

Labels are bool ``(N,)``, True for violent. Scores are float ``(N,)``, higher for violent.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Returns the probability that a violent clip outscores a calm one. Ties count half. NaN without both
    classes."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return math.nan
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def precision_recall(labels: Labels, scores: Scores) -> tuple[Scores, Scores, Scores]:
    """Returns precision, recall and threshold at each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(labels[order])
    last = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, dtype=bool)
    taken = np.arange(1, len(ranked) + 1)
    return (hits / taken)[last], (hits / max(int(labels.sum()), 1))[last], ranked[last]


def average_precision(labels: Labels, scores: Scores) -> float:
    """Returns the area under the precision-recall steps. NaN without positives."""
    if not labels.any():
        return math.nan
    precision, recall, _ = precision_recall(labels, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def recall_at_precision(labels: Labels, scores: Scores, wanted: float) -> float:
    """Returns the best recall among thresholds with a precision of at least ``wanted``. 0 if there is
    none."""
    precision, recall, _ = precision_recall(labels, scores)
    return float(recall[precision >= wanted].max(initial=0.0))


def expected_calibration_error(labels: Labels, scores: Scores, bins: int = 10) -> float:
    """Returns the mean gap between score and share of violent clips, over equal score bins weighted by size.

    NaN without scores.
    """
    if not len(scores):
        return math.nan
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    error = 0.0
    for index in range(bins):
        inside = bin_of == index
        if inside.any():
            error += inside.mean() * abs(float(scores[inside].mean()) - float(labels[inside].mean()))
    return float(error)


def spell_hours(hours: float) -> str:
    """Formats stream time for people in a fitting unit: ``10 s``, ``4.2 min``, ``28.60 h``."""
    seconds = hours * 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if hours < 1 else f"{hours:.2f} h"


def spell_rate(rate: float) -> str:
    """Formats a rate or its bound for people with three digits: ``0.05``, ``4.62``, ``1,030``."""
    return f"{float(f'{rate:.3g}'):,.0f}" if rate >= 1000 else f"{rate:.3g}"
