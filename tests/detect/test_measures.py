"""Measures against their definitions, by brute force."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detect.measures import (
    average_precision,
    expected_calibration_error,
    recall_at_precision,
    roc_auc,
    spell_hours,
    spell_rate,
)
from edge.intervals import bootstrap, rate_upper_bound
from edge.tuning.plots import draw

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=40)


@given(scored)
def test_auc_is_the_chance_of_the_right_order(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([row[0] for row in rows])
    scores = np.array([row[1] / 10 for row in rows])
    pairs = [(p, n) for p in scores[labels] for n in scores[~labels]]
    if not pairs:
        assert math.isnan(roc_auc(labels, scores))
        return
    wanted = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)
    assert roc_auc(labels, scores) == pytest.approx(wanted)


@given(scored, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_recall_at_precision_by_trying_every_threshold(rows: list[tuple[bool, int]], wanted: float) -> None:
    labels = np.array([row[0] for row in rows])
    scores = np.array([row[1] / 10 for row in rows])
    best = 0.0
    for threshold in set(scores.tolist()):
        taken = scores >= threshold
        if labels.any() and labels[taken].mean() >= wanted:
            best = max(best, labels[taken].sum() / labels.sum())
    assert recall_at_precision(labels, scores, wanted) == pytest.approx(best)


def test_average_precision_by_hand() -> None:
    labels = np.array([True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    assert average_precision(labels, scores) == pytest.approx(0.5 * 1.0 + 0.5 * 2 / 3)
    assert math.isnan(average_precision(np.zeros(3, dtype=bool), np.zeros(3)))


def test_calibration_error_of_honest_and_boasting_scores() -> None:
    labels = np.array([True] * 8 + [False] * 2)
    assert expected_calibration_error(labels, np.full(10, 0.8)) == pytest.approx(0.0)
    assert expected_calibration_error(labels, np.full(10, 1.0)) == pytest.approx(0.2)


def test_bootstrap_of_groups_is_wider_than_of_clips() -> None:
    random = np.random.default_rng(1)
    labels = np.tile([True, False], 50)
    offset = np.repeat(random.normal(size=10), 10)
    scores = labels + offset + random.normal(size=100) * 0.1
    groups = np.repeat(np.arange(10).astype(str), 10)
    by_group = bootstrap(roc_auc, labels, scores, groups)
    by_clip = bootstrap(roc_auc, labels, scores, np.arange(100).astype(str))
    assert by_group.low <= by_group.value <= by_group.high
    assert by_group.high - by_group.low > by_clip.high - by_clip.low


def test_rate_upper_bound() -> None:
    assert rate_upper_bound(0, 10.0) == pytest.approx(0.3)
    # 95 % one-sided Poisson upper limits for 1 and 5 events, from tables.
    assert rate_upper_bound(1, 1.0) == pytest.approx(4.744, abs=1e-3)
    assert rate_upper_bound(5, 1.0) == pytest.approx(10.513, abs=1e-3)
    assert rate_upper_bound(0, 0.0) == math.inf


def test_plots_are_frames(tmp_path: Path) -> None:
    labels, scores = [True, True, False, False], [0.9, 0.4, 0.6, 0.1]
    written = draw(tmp_path / "plots", labels, scores, {"long": [[0.0, 0.1], [0.2, 0.5]]})
    assert {path.name for path in written} == {"roc.png", "pr.png", "calibration.png", "time.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    assert draw(tmp_path / "calm", [False], [0.1], {}) == []


@pytest.mark.filterwarnings("error")
def test_plots_of_a_folder_of_many_files(tmp_path: Path) -> None:
    over_time = {f"{'long' * 10}{index}.mp4": [[0.0, 0.1], [0.2, index / 100]] for index in range(60)}
    (written,) = draw(tmp_path, [False], [0.1], over_time)
    assert written.name == "time.png"


def test_hours_and_rates_for_people() -> None:
    assert [spell_hours(hours) for hours in (0.0029, 0.07, 0.999, 28.6)] == [
        "10 s",
        "4.2 min",
        "59.9 min",
        "28.60 h",
    ]
    assert [spell_rate(rate) for rate in (0.0512, 4.615, 242.4, 1026.421)] == [
        "0.0512",
        "4.62",
        "242",
        "1,030",
    ]
