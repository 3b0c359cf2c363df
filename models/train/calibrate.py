"""From out-of-fold logits to probabilities and thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from edge.detect.manifest import Calibration, Thresholds

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]


def platt(logits: Values, labels: Labels, weights: Values) -> Calibration:
    """Platt scaling on logits that no model saw in training. Clips weigh by ``weights``."""
    fit = LogisticRegression(C=1e3).fit(logits[:, None], labels, sample_weight=weights)
    return Calibration(slope=max(float(fit.coef_[0, 0]), 1e-3), offset=float(fit.intercept_[0]))


def choose_thresholds(
    calm_scores: Values, alert_scores: Values, persistent: Values, labels: Labels
) -> Thresholds:
    """Thresholds over out-of-fold clip scores ``(N,)``.

    ``raise_tier``: 98 % of what dense sampling would flag is raised by the calm tier's best window.
    ``flag``: 90 % of violent clips. ``cut``: over the persistent score of every calm clip: that is the
    score that a clip holds for the policy's three alert samples.
    """
    flag = float(np.quantile(alert_scores[labels], 0.10))
    flagged = labels & (alert_scores >= flag)
    raise_tier = min(float(np.quantile(calm_scores[flagged], 0.02)), flag)
    cut = max(float(persistent[~labels].max()) + 0.01, flag)
    return Thresholds(raise_tier=_floor(raise_tier), flag=_floor(flag), cut=min(round(cut, 3), 0.999))


def _floor(value: float) -> float:
    return max(np.floor(value * 1000) / 1000, 0.0)
