"""Calibration and thresholds of an audio model, from recordings that it did not learn from. Pure.

Scores are the gate's own: what persists over windows, one for each window that is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.detect.manifest import Calibration
from edge.detect.witness_specs import AloneThresholds

FLAGS_AN_HOUR: Final = 1.0
"""Most false flags of a category on the dense hard sounds of validation."""
RAISES_AN_HOUR: Final = 12.0
WITNESS_AN_HOUR: Final = 4.0
"""The same for what only bears witness."""
MARGIN: Final = 0.25
"""Distance of a flag from the scores that chose it, in log-odds: an hour is little."""


@dataclass(frozen=True, slots=True)
class Row:
    """One recording's scores of one category, in time."""

    scores: npt.NDArray[np.float64]
    positive: bool
    hours: float

    @property
    def best(self) -> float:
        return float(self.scores.max(initial=0.0))


def log_odds(probability: float) -> float:
    """Log-odds, with 0 and 1 kept finite."""
    p = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(p / (1 - p)))


def alarms(scores: npt.NDArray[np.float64], threshold: float) -> int:
    """How often a recording's scores rise to a threshold."""
    over = np.concatenate(([0.0], scores)) >= threshold
    return int((over[1:] & ~over[:-1]).sum())


def threshold_for(rows: Sequence[Row], an_hour: float) -> float:
    """The lowest score whose successor gives at most so many alarms an hour on the negatives."""
    negatives = [row for row in rows if not row.positive]
    allowed = int(an_hour * sum(row.hours for row in negatives))
    for level in sorted({0.0, *(row.best for row in negatives)}):
        above = float(np.nextafter(level, 2.0))
        if sum(alarms(row.scores, above) for row in negatives if row.best >= above) <= allowed:
            return above
    return 1.0


def calibrate(rows: Sequence[Row]) -> Calibration:
    """Platt scaling of each recording's best score, given as a probability. Needs both kinds of rows.

    The probabilities are right for the share of positives among ``rows``.
    """
    from sklearn.linear_model import LogisticRegression  # of the training packages: thresholds need none

    best = np.array([[log_odds(row.best)] for row in rows])
    fit = LogisticRegression(C=10.0).fit(best, [row.positive for row in rows])
    return Calibration(slope=max(float(fit.coef_[0, 0]), 1e-3), offset=float(fit.intercept_[0]))


def thresholds(rows: Sequence[Row], calibration: Calibration, *, alone: bool) -> AloneThresholds:
    """Thresholds of a category in calibrated probabilities. ``rows`` have the scores before calibration."""

    def at(an_hour: float, margin: float) -> float:
        logit = log_odds(threshold_for(rows, an_hour)) + margin / calibration.slope
        return min(float(np.ceil(calibration.probability(logit) * 1000)) / 1000, 0.999)

    if not alone:
        return AloneThresholds(raise_tier=at(WITNESS_AN_HOUR, 0.0))
    flag = at(FLAGS_AN_HOUR, MARGIN)
    return AloneThresholds(raise_tier=min(at(RAISES_AN_HOUR, 0.0), flag), flag=flag)
