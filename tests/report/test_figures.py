"""Intervals against textbook values, and properties of all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.report.figures import PerHours, Share, Times, per_hours, share, times


def test_textbook_values() -> None:
    eight = share(8, 10)
    assert [eight.low, eight.high] == pytest.approx([0.490, 0.943], abs=1e-3)
    none = share(0, 20)
    assert [none.value, none.low, none.high] == pytest.approx([0.0, 0.0, 0.161], abs=1e-3)
    ten = per_hours(10, 1000.0)  # Exact: 4.795 to 18.39.
    assert [ten.low, ten.high] == pytest.approx([4.795, 18.39], rel=0.01)
    zero = per_hours(0, 1000.0)  # Exact: 0 to 3.689.
    assert [zero.low, zero.high] == pytest.approx([0.0, 3.689], rel=0.01)


def test_nothing_to_count_is_no_figure() -> None:
    assert share(0, 0) == Share(0, 0, None, None, None)
    assert per_hours(3, 0.0) == PerHours(3, 0.0, None, None, None)
    assert times([]) == Times(0, None, None)


@given(st.data())
def test_a_figure_lies_in_its_interval_and_more_cases_narrow_it(data: st.DataObject) -> None:
    of = data.draw(st.integers(1, 10_000))
    count = data.draw(st.integers(0, of))
    one, ten = share(count, of), share(10 * count, 10 * of)
    assert one.value is not None
    assert one.low is not None
    assert one.high is not None
    assert 0.0 <= one.low <= one.value <= one.high <= 1.0
    assert ten.low is not None
    assert ten.high is not None
    assert ten.high - ten.low <= one.high - one.low
    rate = per_hours(count, of / 7)
    assert rate.per_1000_hours is not None
    assert rate.low is not None
    assert rate.high is not None
    assert 0.0 <= rate.low <= rate.per_1000_hours <= rate.high


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_quantiles_are_values_and_lie_in_their_intervals(durations: list[int]) -> None:
    found = times(durations)
    assert found.of == len(durations)
    for quantile, q in ((found.p50, 0.5), (found.p95, 0.95)):
        assert quantile is not None
        assert quantile.value_ms in durations
        assert sum(d <= quantile.value_ms for d in durations) >= q * len(durations)
        assert quantile.low_ms is None or quantile.low_ms <= quantile.value_ms
        assert quantile.high_ms is None or quantile.high_ms >= quantile.value_ms
    if len(durations) < 5:
        assert found.p95 is not None
        assert found.p95.high_ms is None
