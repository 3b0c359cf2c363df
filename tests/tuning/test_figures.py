"""Intervals against known values, and their bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.intervals import NOTHING, rate_upper_bound
from edge.intervals import bootstrap_quantile as quantile
from edge.tuning.figures import Counts, figures, rate, share
from edge.tuning.guarantee import Guarantee, evidence
from edge.tuning.outcome import Outcome, ViolentEvent


def test_rates_have_exact_poisson_intervals() -> None:
    found = rate([5], [1.0])  # With one group, resampling shows no uncertainty.
    assert found == pytest.approx((5.0, 1.6235, 11.6683), abs=1e-3)
    assert rate([1], [2.0]) == pytest.approx((0.5, 0.0253 / 2, 5.5716 / 2), abs=1e-3)


def test_no_event_is_the_rule_of_three() -> None:
    assert tuple(rate([0, 0], [0.5, 0.15])) == pytest.approx((0.0, 0.0, 3 / 0.65))
    assert all(math.isnan(number) for number in rate([0], [0.0]))


def test_bursts_in_one_group_widen_a_rate() -> None:
    spread, burst = rate([2] * 10, [1.0] * 10), rate([20, *[0] * 9], [1.0] * 10)
    assert burst.value == spread.value
    assert burst.high > spread.high
    assert burst.low < spread.low


def test_a_share_without_exception_is_doubted_by_its_groups() -> None:
    assert tuple(share([3], [3])) == pytest.approx((1.0, 0.05, 1.0))
    assert share([1] * 59, [1] * 59).low == pytest.approx(0.05 ** (1 / 59))
    assert tuple(share([0] * 10, [2] * 10)) == pytest.approx((0.0, 0.0, 1 - 0.05**0.1))
    assert share([0], [0]) is NOTHING


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_share_lies_within_its_interval(groups: list[tuple[int, int]]) -> None:
    hits = [min(pair) for pair in groups]
    totals = [max(pair) for pair in groups]
    found = share(hits, totals)
    if sum(totals):
        assert 0.0 <= found.low <= found.value <= found.high <= 1.0
        assert found.value == sum(hits) / sum(totals)


def test_quantiles_resample_groups() -> None:
    found = quantile([[1.0, 1.0], [], [9.0]], 0.5)
    assert found == (1.0, 1.0, 9.0)
    assert quantile([[], []], 0.5) is NOTHING


def calm(hours: float, cuts: int = 0) -> Outcome:
    return Outcome(f"c{hours}", (), round(hours * 3_600_000), cuts, cuts, 0, round(hours * 3_600_000))


def fights(count: int, cut: bool = True) -> list[Outcome]:
    event = ViolentEvent(400, 800 if cut else None)
    return [Outcome(f"v{index}", (event,), 0, 0, 0, 2000, 2000) for index in range(count)]


def test_too_little_calm_footage_for_the_rate_is_said() -> None:
    found = evidence(Guarantee(false_cuts_per_hour=0.1), figures([*fights(3), calm(0.65)]))
    assert not found.shown
    assert found.bound == pytest.approx(3 / 0.65)
    assert "Too little data" in found.text
    assert "30 h without a false cut would show it" in found.text
    assert evidence(Guarantee(false_cuts_per_hour=0.1), figures([*fights(3), calm(31)])).shown
    broken = evidence(Guarantee(false_cuts_per_hour=0.1), figures([*fights(3), calm(31, cuts=9)]))
    assert not broken.shown
    assert "unseen footage had more" in broken.text
    assert broken.bound == pytest.approx(rate_upper_bound(9, 31), rel=1e-3)
    assert "above 0" in evidence(Guarantee(false_cuts_per_hour=0.0), figures([calm(1000)])).text


def test_too_few_cuts_for_the_precision_is_said() -> None:
    few = evidence(Guarantee(precision=0.95), figures([*fights(20), calm(1)]))
    assert not few.shown
    assert "59 groups" in few.text
    assert evidence(Guarantee(precision=0.95), figures([*fights(59), calm(1)])).shown
    assert not evidence(Guarantee(precision=0.95), figures([*fights(59), calm(1, cuts=20)])).shown
    said = evidence(Guarantee(precision=0.95), figures([*fights(9, cut=False), calm(1)])).text
    assert "No unseen footage was cut" in said
    assert evidence(Guarantee(), figures([*fights(1), calm(1)])).shown


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 5), st.floats(0.5, 1))
def test_stricter_promises_are_kept_by_less(cut: int, false: int, rate: float, precision: float) -> None:
    found = Counts(60, cut, cut, false, false, 10.0)
    if Guarantee(false_cuts_per_hour=rate).kept_by(found):
        assert Guarantee(false_cuts_per_hour=rate + 1).kept_by(found)
    if Guarantee(precision=precision).kept_by(found):
        assert Guarantee(precision=precision / 2).kept_by(found)
    assert Guarantee().kept_by(found) == (false == 0)
