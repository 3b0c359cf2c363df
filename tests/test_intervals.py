"""Intervals against known values. The exact ones are checked against the distribution that they invert."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.intervals import (
    bootstrap_ratio,
    byar,
    order_statistics,
    poisson,
    rate_upper_bound,
    require_scipy,
    wilson,
)


def at_most(count: int, mean: float) -> float:
    """Poisson distribution function, term by term."""
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        (1, 0.025317807984290, 5.571643390938898),
        (5, 1.623486390118423, 11.668332079322670),
        (200, 173.240882681456, 229.721981665450),
    ],
)
def test_exact_poisson_intervals(count: int, low: float, high: float) -> None:
    assert poisson(count) == pytest.approx((low, high), rel=1e-9)


@given(st.integers(0, 400))
def test_a_poisson_interval_leaves_its_tails(count: int) -> None:
    low, high = poisson(count)
    assert at_most(count, high) == pytest.approx(0.025)
    assert low == 0.0 if count == 0 else at_most(count - 1, low) == pytest.approx(0.975)


@pytest.mark.parametrize(
    ("events", "bound"),
    [(0, 3.0), (1, 4.743864518390579), (5, 10.513034908741533), (50, 63.28707409574717)],
)
def test_upper_bounds_of_rates(events: int, bound: float) -> None:
    assert rate_upper_bound(events, 2.0) == pytest.approx(bound / 2, rel=1e-9)


@given(st.integers(1, 5_000))
def test_an_upper_bound_leaves_five_percent(events: int) -> None:
    assert at_most(events, rate_upper_bound(events, 1.0)) == pytest.approx(0.05)


def test_closed_forms() -> None:
    assert wilson(8, 10) == pytest.approx((0.490162471, 0.943317847), abs=1e-8)
    assert byar(10) == pytest.approx((4.787449884, 18.391458680), abs=1e-7)
    assert byar(0) == pytest.approx((0.0, 3.668011832), abs=1e-8)
    assert order_statistics(100, 0.5) == (39, 60)
    assert order_statistics(3, 0.95) == (1, None)


def test_resampling_draws_the_same_every_time() -> None:
    assert bootstrap_ratio([1, 0, 3], [2, 1, 4]) == bootstrap_ratio([1, 0, 3], [2, 1, 4])
    assert bootstrap_ratio([1], [2]) == (0.5, 0.5)


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ConfigError, match=r"edge-gate\[tune\]"):
        require_scipy()
    assert wilson(1, 2)
    assert rate_upper_bound(0, 1.0) == 3.0
