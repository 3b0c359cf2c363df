"""What a worker begins must be able to end in time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.workers.recent_costs import RecentCosts

COST_MS = st.floats(0.1, 200)


@given(COST_MS, COST_MS, st.floats(-250, 250), st.integers(0, 40), st.floats(0, 1))
def test_what_has_no_hope_has_none_with_more_before_it_or_later(
    burst_ms: float, judge_ms: float, late_ms: float, begun: int, blind_share: float
) -> None:
    costs = RecentCosts()
    costs.decoded_burst(burst_ms)
    costs.judged(judge_ms)
    if costs.is_hopeless(late_ms, 200, begun, blind_share):
        assert costs.is_hopeless(late_ms, 200, begun + 1, blind_share)
        assert costs.is_hopeless(late_ms + 10, 200, begun, blind_share)
        assert costs.is_hopeless(late_ms, 200, begun, blind_share / 2)
    else:
        assert late_ms + burst_ms + judge_ms <= 200, "alone it is in time"


@given(st.lists(COST_MS, min_size=1, max_size=50), st.floats(0, 1000))
def test_a_verdict_as_dear_as_the_last_one_is_in_time(costs_ms: list[float], now_ms: float) -> None:
    costs = RecentCosts()
    for cost_ms in costs_ms:
        costs.judged(cost_ms)
    assert not costs.in_time(now_ms, now_ms + costs_ms[-1])
    assert costs.in_time(now_ms, now_ms + max(*costs_ms, 5.0) + 5.001)


def test_a_single_dear_sample_is_forgotten() -> None:
    costs = RecentCosts()
    costs.judged(100)
    for _ in range(100):
        costs.judged(10)
    assert costs.judge_ms == 10
