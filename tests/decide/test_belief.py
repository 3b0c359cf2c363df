"""Belief rises with scores, fades with time, never rests on warm-up, and keeps what it promises."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.decide.belief import Belief, BeliefSpec, FalseAlarms

SPEC = BeliefSpec()
SPECS = st.builds(
    BeliefSpec,
    warm_up_samples=st.integers(1, 6),
    neutral_ms=st.integers(1, 20_000),
    neutral=st.floats(-4, 4),
    fade_ms=st.integers(100, 20_000),
    step_ms=st.integers(10, 3000),
    most=st.floats(4, 12),
)
Window = tuple[int, float, int]
WINDOWS = st.lists(
    st.tuples(st.integers(0, 3000), st.floats(0, 1), st.integers(1, 12)), min_size=1, max_size=60
)


def timed(windows: list[Window]) -> list[Window]:
    """Gaps become times."""
    times = accumulate(gap for gap, _, _ in windows)
    return [(at, score, samples) for at, (_, score, samples) in zip(times, windows, strict=True)]


def beliefs(spec: BeliefSpec, windows: list[Window]) -> list[float]:
    belief = Belief(spec)
    return [belief.add(*window) for window in timed(windows)]


@given(SPECS, WINDOWS, st.data())
def test_a_higher_score_never_lowers_a_belief(
    spec: BeliefSpec, windows: list[Window], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(windows) - 1))
    gap, score, samples = windows[at]
    higher = [*windows]
    higher[at] = (gap, data.draw(st.floats(score, 1)), samples)
    for low, high in zip(beliefs(spec, windows), beliefs(spec, higher), strict=True):
        assert high >= low - 1e-12


@given(SPECS, WINDOWS)
def test_windows_in_warm_up_never_raise_a_belief(spec: BeliefSpec, windows: list[Window]) -> None:
    cold = [(gap, score, min(samples, spec.warm_up_samples - 1)) for gap, score, samples in windows]
    start = Belief(spec).score
    assert beliefs(spec, cold) == [pytest.approx(start)] * len(cold)


@given(SPECS, WINDOWS, WINDOWS)
def test_what_was_seen_long_ago_is_forgotten(
    spec: BeliefSpec, one: list[Window], other: list[Window]
) -> None:
    last = [(40 * spec.fade_ms, 0.5, 1)]
    assert beliefs(spec, one + last)[-1] == pytest.approx(beliefs(spec, other + last)[-1], abs=1e-6)


@given(SPECS, WINDOWS)
def test_a_belief_stays_between_what_was_said(spec: BeliefSpec, windows: list[Window]) -> None:
    odds = [math.log(max(s, 1e-9) / max(1 - s, 1e-9)) for _, s, _ in windows]
    said = [spec.neutral, *(min(max(value, -spec.most), spec.most) for value in odds)]
    low, high = (1 / (1 + math.exp(-value)) for value in (min(said), max(said)))
    for value in beliefs(spec, windows):
        assert low - 1e-9 <= value <= high + 1e-9


@given(SPECS, WINDOWS)
def test_it_keeps_the_same_few_numbers_for_ever(spec: BeliefSpec, windows: list[Window]) -> None:
    belief = Belief(spec)
    for window in timed(windows):
        belief.add(*window)
        held = {name: value for name, value in vars(belief).items() if value is not spec}
        assert all(value is None or isinstance(value, int | float) for value in held.values())
        assert len(held) == 4


@given(SPECS, WINDOWS, WINDOWS)
def test_a_time_that_goes_back_starts_anew(
    spec: BeliefSpec, before: list[Window], after: list[Window]
) -> None:
    belief = Belief(spec)
    for at, score, samples in timed(before):
        belief.add(at + 1_000_000, score, samples)
    assert [belief.add(*window) for window in timed(after)] == beliefs(spec, after)


@given(WINDOWS)
def test_unknown_scores_say_nothing(windows: list[Window]) -> None:
    unknown = [(gap, math.nan, samples) for gap, _, samples in windows]
    assert beliefs(SPEC, unknown) == [pytest.approx(Belief(SPEC).score)] * len(windows)


def test_one_high_window_is_not_believed_and_seconds_of_them_are() -> None:
    calm = [(200, 0.05, 10)] * 20
    assert max(beliefs(SPEC, [*calm, (200, 0.999, 10), *calm])) < 0.5
    assert beliefs(SPEC, [*calm, *[(200, 0.97, 10)] * 25])[-1] > 0.6


def test_a_belief_knows_since_when() -> None:
    belief = Belief(SPEC)
    for at in range(0, 2000, 200):
        belief.add(at, 0.02, 10)
        assert belief.begin_pts_ms is None
    for at in range(2000, 5000, 200):
        belief.add(at, 0.95, 10)
    assert belief.begin_pts_ms is not None
    assert 2000 <= belief.begin_pts_ms <= 3000
    belief.forget()
    assert belief.begin_pts_ms is None
    assert belief.score == Belief(SPEC).score


@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(1e-3, 100))
def test_a_rate_of_false_alarms_gives_the_limit_that_has_it(slope: float, offset: float, rate: float) -> None:
    alarms = FalseAlarms(slope=slope, offset=offset, hours=1.0)
    limit = alarms.limit(rate)
    if 1e-6 < limit < 1 - 1e-6:
        assert alarms.an_hour(limit) == pytest.approx(rate, rel=1e-3)
    assert alarms.limit(rate * 2) <= limit


def test_a_neutral_that_no_window_could_say_is_refused() -> None:
    with pytest.raises(ValidationError, match="neutral -6"):
        BeliefSpec(neutral=-6.0, most=5.0)
