"""What a set of scores is worth: ranking, recall at a precision, calibration.

Labels are bool ``(N,)``, True for violent; scores are float ``(N,)``, higher for violent. All pure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Chance that a violent clip scores over a calm one, ties half; nan where a class is missing."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return math.nan
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def precision_recall(labels: Labels, scores: Scores) -> tuple[Scores, Scores, Scores]:
    """Precision, recall and threshold at each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(labels[order])
    last = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, dtype=bool)
    taken = np.arange(1, len(ranked) + 1)
    return (hits / taken)[last], (hits / max(int(labels.sum()), 1))[last], ranked[last]


def average_precision(labels: Labels, scores: Scores) -> float:
    """Area under the precision-recall steps; nan without positives."""
    if not labels.any():
        return math.nan
    precision, recall, _ = precision_recall(labels, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def recall_at_precision(labels: Labels, scores: Scores, wanted: float) -> float:
    """The best recall at any threshold whose precision is at least ``wanted``; 0 where none is."""
    precision, recall, _ = precision_recall(labels, scores)
    return float(recall[precision >= wanted].max(initial=0.0))


def expected_calibration_error(labels: Labels, scores: Scores, bins: int = 10) -> float:
    """Mean gap between score and share of violent clips over equal bins of the score, by their weight."""
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
    """Stream time for people, in the unit that it fills: ``10 s``, ``4.2 min``, ``28.60 h``."""
    seconds = hours * 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if hours < 1 else f"{hours:.2f} h"


def spell_rate(rate: float) -> str:
    """A rate or its bound for people, three digits: ``0.05``, ``4.62``, ``1,030``."""
    return f"{float(f'{rate:.3g}'):,.0f}" if rate >= 1000 else f"{rate:.3g}"
