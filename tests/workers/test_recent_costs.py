"""A worker begins only jobs that can end in time, and retries jobs that were expensive once."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from edge.workers.recent_costs import CostsByClass, RecentCost, RecentCosts

COST_MS = st.floats(0.1, 200)
WORK = st.lists(st.tuples(st.floats(0, 60_000), st.floats(0, 10_000)), max_size=30)
"""The cost, and the pause after it."""


@given(COST_MS, COST_MS, st.floats(-250, 250), st.floats(0, 4000))
def test_what_has_no_hope_has_none_with_more_before_it_or_later(
    burst_ms: float, judge_ms: float, late_ms: float, begun_ms: float
) -> None:
    costs = RecentCosts()
    costs.burst.add_cost(burst_ms, 1000)
    costs.judge.add_cost(judge_ms, 1000)
    deadline_ms = 1000 - late_ms
    if costs.is_hopeless(1000, deadline_ms, 200, begun_ms):
        assert costs.is_hopeless(1000, deadline_ms, 200, begun_ms + 1)
        assert costs.is_hopeless(1000, deadline_ms - 10, 200, begun_ms)
    else:
        assert late_ms + costs.burst.at(1000) + costs.judge.at(1000) <= 200, "alone it is in time"


@given(st.floats(5, 200), st.integers(4, 50))
def test_a_verdict_as_dear_as_the_last_ones_is_expected(cost_ms: float, count: int) -> None:
    costs = RecentCosts()
    for number in range(count):
        costs.judge.add_cost(cost_ms, 10.0 * number)
    now_ms = 10.0 * (count - 1)
    assert not costs.in_time(now_ms, now_ms + cost_ms)
    assert costs.in_time(now_ms, now_ms + cost_ms + 5.001)


def test_a_single_dear_sample_is_forgotten() -> None:
    cost = RecentCost()
    for number in range(5):
        cost.add_cost(100, number)
    for number in range(100):
        cost.add_cost(10, number)
    assert cost.at(100) <= 10


@given(WORK)
def test_whatever_it_has_cost_a_sample_that_comes_in_time_is_tried_again_soon(
    work: list[tuple[float, float]],
) -> None:
    """Otherwise a worker that was stopped once, or on a machine that stood still, would never judge again."""
    costs = RecentCosts()
    times = accumulate(cost + pause for cost, pause in work)
    now_ms = 0.0
    for (cost_ms, _), now_ms in zip(work, times, strict=True):
        costs.judge.add_cost(cost_ms, now_ms)
        costs.burst.add_cost(cost_ms, now_ms)
    now_ms += 20_000
    assert costs.in_time(now_ms, now_ms + 100)
    assert not costs.is_hopeless(now_ms, now_ms + 100, 200, 0)


@given(st.floats(300, 60_000))
def test_one_stop_of_the_machine_hides_nothing(stop_ms: float) -> None:
    costs = RecentCosts()
    for number in range(20):
        costs.judge.add_cost(10, 100.0 * number)
    now_ms = 2000 + stop_ms
    costs.judge.add_cost(stop_ms, now_ms)
    assert costs.in_time(now_ms, now_ms + 250)


@given(COST_MS, st.floats(200, 5000))
def test_what_a_heavy_stream_costs_says_nothing_of_light_ones(light_ms: float, heavy_ms: float) -> None:
    costs = CostsByClass()
    costs.add_burst(heavy_ms, heavy_ms, 1000)
    costs.of(heavy_ms).judge.add_cost(heavy_ms, 1000)
    light = costs.of(min(light_ms, 20.0))
    assert light.burst.at(1000) == 0
    assert light.in_time(1000, 1020)
    assert costs.of(heavy_ms).whole_ms(1000) > 0
