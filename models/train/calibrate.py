"""Turns out-of-fold logits into probabilities and thresholds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from edge.detect.manifest import Calibration, Thresholds
from edge.policy import BeliefPolicy, FalseAlarms, log_odds_of
from models.train.scores import ClipScore

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]

BELIEF = BeliefPolicy()
"""Chosen on sources held out whole, out of several hundred (`models/EXPERIMENTS.md`)."""
FLAG_CALM = 0.05
"""Share of the calm clips that may be flagged. Most were picked because they move much."""
RAISE_RECALL = 0.95
CUT_MARGIN = 0.25
"""Margin over the highest calm clip, in log-odds: hours of calm footage hold more than minutes of clips."""
TAIL = 0.15
"""Share of the calm clips, those with the highest beliefs, to which the rate of false alarms is fitted."""


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


def chosen(measured: list[ClipScore]) -> tuple[Thresholds, BeliefPolicy]:
    """Chooses thresholds and fits the rate of false alarms, on unseen clips of known and unknown sources."""
    rows = [score for score in measured if score.belief is not None]
    violent = np.array([score.violent for score in rows])
    belief = np.array([score.belief for score in rows], dtype=np.float64)
    calm_tier = np.array([score.calm_tier for score in rows])
    hours = sum(score.seconds for score in rows if not score.violent) / 3600
    alarms = false_alarms(belief[~violent], hours)
    return choose_thresholds(calm_tier, belief, violent), BELIEF.model_copy(update={"false_alarms": alarms})


def choose_thresholds(calm: Values, belief: Values, violent: Labels) -> Thresholds:
    """Chooses thresholds over probabilities ``(N,)`` of unseen clips, of known and of unknown sources.

    ``calm`` is the calm tier's best score of a clip, ``belief`` its highest belief under dense sampling.

    ``flag`` lets no more than ``FLAG_CALM`` of the calm clips be flagged. ``raise_tier`` lets the calm tier's
    best sample reach ``RAISE_RECALL`` of the violent clips that dense sampling flags. ``cut`` lies
    ``CUT_MARGIN`` over every calm clip.
    """
    flag = _up(float(np.quantile(belief[~violent], 1 - FLAG_CALM, method="higher")))
    flagged = violent & (belief >= flag)
    raise_tier = min(float(np.quantile(calm[flagged], 1 - RAISE_RECALL)), flag)
    cut = max(_higher(float(belief[~violent].max()), CUT_MARGIN), flag)
    return Thresholds(raise_tier=_down(raise_tier), flag=flag, cut=min(_up(cut), 0.999))


def false_alarms(calm: Values, hours: float) -> FalseAlarms:
    """Fits how often calm footage passes a limit to the highest beliefs ``(N,)`` of calm clips.

    A clip counts once, however often it passes. Over the start of the tail, the excess in log-odds is taken
    as exponential.
    """
    odds = np.sort(np.array([log_odds_of(float(value)) for value in calm]))[::-1]
    count = max(int(TAIL * len(odds)), 2)
    slope = 1.0 / max(float((odds[:count] - odds[count]).mean()), 1e-3)
    offset = math.log(count / hours) + slope * float(odds[count])
    return FalseAlarms(slope=round(slope, 4), offset=round(offset, 4), hours=round(hours, 3))


def _higher(probability: float, log_odds: float) -> float:
    odds = math.exp(log_odds) * probability / max(1 - probability, 1e-9)
    return odds / (1 + odds)


def _up(value: float) -> float:
    return math.ceil(value * 1000) / 1000


def _down(value: float) -> float:
    return max(math.floor(value * 1000) / 1000, 0.0)
