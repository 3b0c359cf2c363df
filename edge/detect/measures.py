"""What a set of scores is worth: ranking, recall at a precision, calibration, and how sure that is.

Labels are bool ``(N,)``, True for violent; scores are float ``(N,)``, higher for violent. All pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


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


def bootstrap(
    measure: Callable[[Labels, Scores], float],
    labels: Labels,
    scores: Scores,
    groups: NDArray[np.str_],
    rounds: int = 500,
    seed: int = 0,
) -> Interval:
    """Resamples whole groups with replacement: clips of one camera are not independent evidence."""
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    values = []
    for _ in range(rounds):
        chosen = random.integers(0, len(members), len(members))
        rows = np.concatenate([members[index] for index in chosen])
        value = measure(labels[rows], scores[rows])
        if not math.isnan(value):
            values.append(value)
    whole = measure(labels, scores)
    if not values:
        return Interval(whole, math.nan, math.nan)
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(whole, float(low), float(high))


def rate_upper_bound(events: int, exposure: float) -> float:
    """95 % upper bound of a Poisson rate; with no event this is the rule of three, 3 / exposure.

    Exact by the chi-square relation, found by bisection on the Poisson distribution function.
    """
    if exposure <= 0:
        return math.inf
    if events == 0:
        return 3.0 / exposure
    low, high = float(events), 3.0 * events + 10.0
    for _ in range(100):
        middle = (low + high) / 2
        term = total = math.exp(-middle)
        for k in range(1, events + 1):
            term *= middle / k
            total += term
        low, high = (middle, high) if total > 0.05 else (low, middle)
    return high / exposure


def spell_hours(hours: float) -> str:
    """Stream time for people, in the unit that it fills: ``10 s``, ``4.2 min``, ``28.60 h``."""
    seconds = hours * 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if hours < 1 else f"{hours:.2f} h"


def spell_rate(rate: float) -> str:
    """A rate or its bound for people, three digits: ``0.05``, ``4.62``, ``1,030``."""
    return f"{float(f'{rate:.3g}'):,.0f}" if rate >= 1000 else f"{rate:.3g}"
