from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import PERMANENT_MS, Strike
from edge.enforce import block_until
from edge.policy import DAY_MS, LadderPolicy

NOW = 1_790_000_000_000
LADDER = LadderPolicy()


def strike(age_ms: int, pardoned: bool = False) -> Strike:
    created = NOW - age_ms
    return Strike(f"sk{age_ms}", "u42", "live", "fight", "in1", created, created + 1 if pardoned else None)


strikes = st.lists(
    st.builds(strike, st.integers(-DAY_MS, 800 * DAY_MS), st.booleans()),
    max_size=8,
)
ladders = st.builds(
    LadderPolicy,
    steps_ms=st.lists(st.integers(1_000, PERMANENT_MS), min_size=1, max_size=6).map(tuple),
    lapse_ms=st.integers(1_000, 900 * DAY_MS),
)


def test_the_default_ladder_is_30_days_180_days_permanent() -> None:
    assert block_until([], LADDER, NOW) == NOW + 30 * DAY_MS
    assert block_until([strike(1)], LADDER, NOW) == NOW + 180 * DAY_MS
    assert block_until([strike(1), strike(2)], LADDER, NOW) == PERMANENT_MS
    assert block_until([strike(1)] * 50, LADDER, NOW) == PERMANENT_MS


def test_a_strike_counts_to_the_end_of_its_lapse_and_no_longer() -> None:
    assert block_until([strike(LADDER.lapse_ms)], LADDER, NOW) == NOW + 180 * DAY_MS
    assert block_until([strike(LADDER.lapse_ms + 1)], LADDER, NOW) == NOW + 30 * DAY_MS


def test_a_pardoned_strike_does_not_count() -> None:
    assert block_until([strike(1, pardoned=True)], LADDER, NOW) == NOW + 30 * DAY_MS


def test_a_clock_that_was_set_back_does_not_forgive() -> None:
    assert block_until([strike(-DAY_MS)], LADDER, NOW) == NOW + 180 * DAY_MS


@given(strikes, ladders)
def test_in_the_future_and_never_past_permanent(before: list[Strike], ladder: LadderPolicy) -> None:
    until = block_until(before, ladder, NOW)
    assert NOW < until <= PERMANENT_MS
    assert until in {min(NOW + step, PERMANENT_MS) for step in ladder.steps_ms}


@given(strikes, ladders)
def test_the_order_of_strikes_and_those_that_do_not_count_change_nothing(
    before: list[Strike], ladder: LadderPolicy
) -> None:
    counting = [s for s in before if s.pardoned_ms is None and NOW - s.created_ms <= ladder.lapse_ms]
    until = block_until(before, ladder, NOW)
    assert block_until(before[::-1], ladder, NOW) == until
    assert block_until(counting, ladder, NOW) == until


@given(strikes)
def test_one_strike_more_never_shortens_a_rising_ladder(before: list[Strike]) -> None:
    assert block_until([*before, strike(0)], LADDER, NOW) >= block_until(before, LADDER, NOW)
