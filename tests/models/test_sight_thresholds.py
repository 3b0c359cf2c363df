"""Thresholds of the firearm model rest on frames without a firearm, and few of them reach a flag."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.detect.manifest import Calibration
from models.train.sight.choose import FLAG_SPECIFICITY, GO_ON_SPECIFICITY, RAISE_SPECIFICITY, category


@given(st.lists(st.floats(-8, 8), min_size=20, max_size=400), st.floats(0.3, 3), st.floats(-3, 1))
def test_few_frames_without_a_firearm_reach_a_threshold(
    logits: list[float], slope: float, offset: float
) -> None:
    calibration = Calibration(slope=slope, offset=offset)
    chosen = category(calibration, np.array(logits))
    scores = np.array([calibration.probability(logit) for logit in logits])
    flag = chosen.thresholds.flag
    assert flag is not None
    assert chosen.go_on_at <= chosen.thresholds.raise_tier <= flag < 1.0
    assert chosen.thresholds.cut is None
    for threshold, specificity in (
        (flag, FLAG_SPECIFICITY),
        (chosen.thresholds.raise_tier, RAISE_SPECIFICITY),
        (chosen.go_on_at, GO_ON_SPECIFICITY),
    ):
        if threshold < 0.999:
            assert (scores >= threshold).mean() <= 1 - specificity + 1e-9
