"""Calibration and thresholds of the firearm model, from images that it did not learn from. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.manifest import Calibration
from edge.detect.witness_specs import AloneThresholds, KOfN, WitnessCategory
from models.train.sight.measures import Values, threshold_at

CATEGORY: Final = "firearm"
PERSISTENCE: Final = KOfN(k=2, n=3)
FLAG_SPECIFICITY: Final = 0.995
"""Share of the validation images without a firearm, games and hard ones among them, below the flag."""
RAISE_SPECIFICITY: Final = 0.98
GO_ON_SPECIFICITY: Final = 0.97
MARGIN: Final = 0.25
"""Distance of the flag from the images that chose it, in log-odds: some hundreds of images are few."""


def calibrate(firearm: NDArray[np.bool_], logits: Values) -> Calibration:
    """Platt scaling. The probabilities are right for the share of firearms among these images."""
    from sklearn.linear_model import LogisticRegression  # of the training packages: thresholds need none

    fit = LogisticRegression(C=10.0).fit(logits[:, np.newaxis], firearm)
    return Calibration(slope=max(float(fit.coef_[0, 0]), 1e-3), offset=float(fit.intercept_[0]))


def category(calibration: Calibration, negatives: Values) -> WitnessCategory:
    """The category, with thresholds in calibrated probabilities from logits of images without a firearm."""

    def at(specificity: float, margin: float = 0.0) -> float:
        logit = threshold_at(negatives, specificity) + margin / calibration.slope
        return min(float(np.floor(calibration.probability(logit) * 1000) + 1) / 1000, 0.999)

    return WitnessCategory(
        name=CATEGORY,
        outputs=(0,),
        calibration=calibration,
        persistence=PERSISTENCE,
        go_on_at=at(GO_ON_SPECIFICITY),
        thresholds=AloneThresholds(raise_tier=at(RAISE_SPECIFICITY), flag=at(FLAG_SPECIFICITY, MARGIN)),
    )
