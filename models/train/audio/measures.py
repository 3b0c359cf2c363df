"""What a network's scores are worth: recordings against hours of audio that must not alarm.

A recording's score is its best window. A negative recording over the threshold is one false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording's score."""

    score: float
    positive: bool
    group: str
    source: str
    hours: float


def auc(positives: Scores, negatives: Scores) -> float:
    """Share of pairs that are in the right order. Equal scores count half. NaN without pairs."""
    if not len(positives) or not len(negatives):
        return float("nan")
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left")
    upto = np.searchsorted(ordered, positives, "right")
    return float((below + upto).sum() / (2 * len(positives) * len(negatives)))


def threshold_for(negatives: Scores, hours: float, alarms_an_hour: float) -> float:
    """The lowest threshold at which scores *over* it make at most so many false alarms an hour."""
    allowed = int(alarms_an_hour * hours)
    return float(np.sort(negatives)[::-1][allowed]) if allowed < len(negatives) else -np.inf


def recall(heard: Sequence[Heard], alarms_an_hour: float) -> float:
    """Share of positives over the threshold that these negatives allow. NaN without positives."""
    positives, negatives = _split(heard)
    hours = sum(one.hours for one in heard if not one.positive)
    if not len(positives):
        return float("nan")
    return float((positives > threshold_for(negatives, hours, alarms_an_hour)).mean())


def _split(heard: Sequence[Heard]) -> tuple[Scores, Scores]:
    positives = np.array([one.score for one in heard if one.positive], np.float64)
    return positives, np.array([one.score for one in heard if not one.positive], np.float64)


def ranked(heard: Sequence[Heard]) -> float:
    """AUC of the recordings."""
    return auc(*_split(heard))


def interval(
    heard: Sequence[Heard], measure: Callable[[Sequence[Heard]], float], draws: int = 200, seed: int = 1
) -> tuple[float, float]:
    """95 % interval of ``measure``: groups are drawn with replacement, positives and negatives apart."""
    rng = np.random.default_rng(seed)
    sides: list[list[list[Heard]]] = []
    for positive in (True, False):
        groups: dict[str, list[Heard]] = {}
        for one in heard:
            if one.positive is positive:
                groups.setdefault(one.group, []).append(one)
        sides.append(list(groups.values()))
    values: list[float] = []
    for _ in range(draws):
        drawn = [
            one
            for side in sides
            if side
            for at in rng.integers(len(side), size=len(side))
            for one in side[at]
        ]
        values.append(measure(drawn))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def figures(heard: Sequence[Heard], *, intervals: bool = True) -> dict[str, object]:
    """AUC and recalls, each with its interval, and the hours behind them."""
    measures: dict[str, Callable[[Sequence[Heard]], float]] = {
        "auc": ranked,
        "recall_at_0": lambda some: recall(some, 0.0),
        "recall_at_1_an_hour": lambda some: recall(some, 1.0),
    }
    found: dict[str, object] = {
        "positives": sum(one.positive for one in heard),
        "negatives": sum(not one.positive for one in heard),
        "negative_hours": round(sum(one.hours for one in heard if not one.positive), 3),
    }
    for name, measure in measures.items():
        found[name] = round(measure(heard), 4)
        if intervals:
            found[f"{name}_95"] = [round(bound, 4) for bound in interval(heard, measure)]
    return found
