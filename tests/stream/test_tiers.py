"""Alert is entered at once and left after a hold of calm media time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Tier
from edge.policy import TierPolicy
from edge.stream import TierState

TIERS = TierPolicy(start_alert_ms=3000, alert_hold_ms=6000)


def test_a_new_stream_starts_in_alert_for_a_while() -> None:
    state = TierState(TIERS)
    assert state.at(10_000) is Tier.ALERT
    assert state.at(12_999) is Tier.ALERT
    assert state.at(13_000) is Tier.CALM


def test_suspicion_enters_alert_and_each_one_prolongs_it() -> None:
    state = TierState(TierPolicy(start_alert_ms=0, alert_hold_ms=6000))
    assert state.at(0) is Tier.CALM
    assert state.observe(2000, True) is Tier.ALERT
    assert state.observe(7000, True) is Tier.ALERT
    assert state.observe(12_999, False) is Tier.ALERT
    assert state.observe(13_000, False) is Tier.CALM


def test_asked_for_alert_holds_as_long_as_suspicion() -> None:
    state = TierState(TierPolicy(start_alert_ms=0, alert_hold_ms=500), alert=True)
    assert state.at(0) is Tier.ALERT
    assert state.at(500) is Tier.CALM
    state.ask()
    assert state.at(600) is Tier.ALERT


def test_hold_of_nothing_still_looks_at_what_raised_it() -> None:
    state = TierState(TierPolicy(start_alert_ms=0, alert_hold_ms=0))
    assert state.observe(100, True) is Tier.ALERT
    assert state.at(101) is Tier.CALM


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 5000),
    st.integers(1, 8000),
)
def test_tier_is_alert_exactly_within_the_hold(
    steps: list[tuple[int, bool]], start_ms: int, hold_ms: int
) -> None:
    state = TierState(TierPolicy(start_alert_ms=start_ms, alert_hold_ms=hold_ms))
    state.at(0)
    now, until = 0, start_ms
    for step, suspicious in steps:
        now += step
        if suspicious:
            until = max(until, now + hold_ms)
        assert state.observe(now, suspicious) is (Tier.ALERT if now < until else Tier.CALM)
