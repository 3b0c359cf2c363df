"""Turns out-of-fold logits into probabilities and thresholds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from edge.detect.manifest import Calibration, Thresholds

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]

FLAG_RECALL = 0.80
RAISE_RECALL = 0.95
CUT_MARGIN = 0.25
"""Margin over the highest calm clip, in log-odds: hours of calm footage hold more than minutes of clips."""


def platt(logits: list[Values], violent: Labels) -> Calibration:
    """Platt scaling on the logits of each clip's samples or windows. No head saw the clip in training.

    Every clip has the same weight. The probabilities assume the data's share of violence, about a third.
    Include scores of clips whose source was held out: they lie closer together. Without them the
    probabilities would be right for known sources only.
    """
    weights = np.concatenate([np.full(len(values), 1 / len(values)) for values in logits])
    labels = np.concatenate([np.full(len(v), label) for v, label in zip(logits, violent, strict=True)])
    fit = LogisticRegression(C=1e3).fit(np.concatenate(logits)[:, None], labels, sample_weight=weights)
    return Calibration(slope=max(float(fit.coef_[0, 0]), 1e-3), offset=float(fit.intercept_[0]))


def choose_thresholds(calm: Values, flaggable: Values, cuttable: Values, violent: Labels) -> Thresholds:
    """Chooses thresholds over probabilities ``(N,)`` of unseen clips, of known and of unknown sources.

    ``calm`` is the calm tier's best score of a clip. ``flaggable`` and ``cuttable`` are the scores that a
    clip holds for as many alert samples as the policy wants before it flags, or cuts.

    ``flag`` reaches ``FLAG_RECALL`` of the violent clips under dense sampling. ``raise_tier`` lets the calm
    tier's best sample reach ``RAISE_RECALL`` of those. ``cut`` lies ``CUT_MARGIN`` over every calm clip.
    """
    flag = float(np.quantile(flaggable[violent], 1 - FLAG_RECALL))
    flagged = violent & (flaggable >= flag)
    raise_tier = min(float(np.quantile(calm[flagged], 1 - RAISE_RECALL)), flag)
    cut = max(_higher(float(cuttable[~violent].max()), CUT_MARGIN), flag)
    return Thresholds(
        raise_tier=_down(raise_tier), flag=_down(flag), cut=min(math.ceil(cut * 1000) / 1000, 0.999)
    )


def _higher(probability: float, log_odds: float) -> float:
    odds = math.exp(log_odds) * probability / max(1 - probability, 1e-9)
    return odds / (1 + odds)


def _down(value: float) -> float:
    return max(math.floor(value * 1000) / 1000, 0.0)
