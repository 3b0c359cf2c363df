"""Belief rises with scores, fades with time, never rests on warm-up, and keeps what it promises."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.decide.belief import Belief
from edge.policy import BeliefPolicy, FalseAlarms

SPEC = BeliefPolicy()
SPECS = st.builds(
    BeliefPolicy,
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


def beliefs(spec: BeliefPolicy, windows: list[Window]) -> list[float]:
    belief = Belief(spec)
    return [belief.add_window(*window) for window in timed(windows)]


@given(SPECS, WINDOWS, st.data())
def test_a_higher_score_never_lowers_the_belief_that_follows(
    spec: BeliefPolicy, windows: list[Window], data: st.DataObject
) -> None:
    gap, score, samples = windows[-1]
    higher = [*windows[:-1], (gap, data.draw(st.floats(score, 1)), samples)]
    assert beliefs(spec, higher)[-1] >= beliefs(spec, windows)[-1] - 1e-12


@given(SPECS, WINDOWS, st.integers(1, 40))
def test_calm_before_a_fight_does_not_delay_it(spec: BeliefPolicy, windows: list[Window], calm: int) -> None:
    """What spoke against the category is not held against what comes."""
    least = 1 / (1 + math.exp(-spec.neutral)) * 0.9
    silent, loud = [(100, 0.5, 0)], [(200, score, samples) for _, score, samples in windows]
    quiet = [(100, least, 12)] * calm
    fresh, later = beliefs(spec, silent + loud), beliefs(spec, [*silent, *quiet, *loud])
    assert later[-len(loud) :] == pytest.approx(fresh[-len(loud) :])


@given(SPECS, WINDOWS)
def test_a_belief_is_never_under_neutral(spec: BeliefPolicy, windows: list[Window]) -> None:
    assert min(beliefs(spec, windows)) >= Belief(spec).score - 1e-12


@given(SPECS, st.integers(1, 400))
def test_nothing_exceeds_the_highest_belief(spec: BeliefPolicy, windows: int) -> None:
    assert max(beliefs(spec, [(200, 1.0, 12)] * windows)) <= spec.highest + 1e-9


@given(SPECS, WINDOWS)
def test_windows_in_warm_up_never_raise_a_belief(spec: BeliefPolicy, windows: list[Window]) -> None:
    cold = [(gap, score, min(samples, spec.warm_up_samples - 1)) for gap, score, samples in windows]
    start = Belief(spec).score
    assert beliefs(spec, cold) == [pytest.approx(start)] * len(cold)


@given(SPECS, WINDOWS, WINDOWS)
def test_what_was_seen_long_ago_is_forgotten(
    spec: BeliefPolicy, one: list[Window], other: list[Window]
) -> None:
    last = [(40 * spec.fade_ms, 0.5, 1)]
    assert beliefs(spec, one + last)[-1] == pytest.approx(beliefs(spec, other + last)[-1], abs=1e-6)


@given(SPECS, WINDOWS)
def test_a_belief_stays_between_what_was_said(spec: BeliefPolicy, windows: list[Window]) -> None:
    odds = [math.log(max(s, 1e-9) / max(1 - s, 1e-9)) for _, s, _ in windows]
    said = [spec.neutral, *(min(max(value, -spec.most), spec.most) for value in odds)]
    low, high = (1 / (1 + math.exp(-value)) for value in (min(said), max(said)))
    for value in beliefs(spec, windows):
        assert low - 1e-9 <= value <= high + 1e-9


@given(SPECS, WINDOWS)
def test_it_keeps_the_same_few_numbers_for_ever(spec: BeliefPolicy, windows: list[Window]) -> None:
    belief = Belief(spec)
    for window in timed(windows):
        belief.add_window(*window)
        held = {name: value for name, value in vars(belief).items() if value is not spec}
        assert all(value is None or isinstance(value, int | float) for value in held.values())
        assert len(held) == 6


@given(SPECS, WINDOWS, WINDOWS)
def test_a_time_that_goes_back_starts_anew(
    spec: BeliefPolicy, before: list[Window], after: list[Window]
) -> None:
    belief = Belief(spec)
    for at, score, samples in timed(before):
        belief.add_window(at + 1_000_000, score, samples)
    assert [belief.add_window(*window) for window in timed(after)] == beliefs(spec, after)


@given(WINDOWS)
def test_unknown_scores_say_nothing(windows: list[Window]) -> None:
    unknown = [(gap, math.nan, samples) for gap, _, samples in windows]
    assert beliefs(SPEC, unknown) == [pytest.approx(Belief(SPEC).score)] * len(windows)


def test_one_high_window_is_not_believed_and_seconds_of_them_are() -> None:
    calm = [(200, 0.05, 10)] * 20
    assert max(beliefs(SPEC, [*calm, (200, 0.99, 10), *calm])) < 0.5
    assert beliefs(SPEC, [*calm, *[(200, 0.97, 10)] * 25])[-1] > 0.6


def test_a_belief_knows_since_when() -> None:
    belief = Belief(SPEC)
    for at in range(0, 2000, 200):
        belief.add_window(at, 0.02, 10)
        assert belief.begin_pts_ms is None
    for at in range(2000, 5000, 200):
        belief.add_window(at, 0.95, 10)
    assert belief.begin_pts_ms == 1801, "after the last window that spoke against it"
    assert belief.windows == 15
    belief.add_window(0, 0.95, 10)
    assert belief.score == Belief(SPEC).score, "a time that goes back starts anew"


@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(1e-3, 100))
def test_a_rate_of_false_alarms_gives_the_limit_that_has_it(slope: float, offset: float, rate: float) -> None:
    alarms = FalseAlarms(slope=slope, offset=offset, hours=1.0)
    limit = alarms.limit(rate)
    if 1e-6 < limit < 1 - 1e-6:
        assert alarms.an_hour(limit) == pytest.approx(rate, rel=1e-3)
    assert alarms.limit(rate * 2) <= limit


def test_a_neutral_that_no_window_could_say_is_refused() -> None:
    with pytest.raises(ValidationError, match="neutral -6"):
        BeliefPolicy(neutral=-6.0, most=5.0)
