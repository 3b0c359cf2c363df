"""A crisis ends at its time, whatever people do to the wall clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.crisis.countdown import Countdown
from tests.crisis.crises import HOUR_MS, NOW, crisis


def test_it_ends_by_the_wall_clock() -> None:
    countdown = Countdown({}, 0.0)
    assert countdown.look([crisis()], NOW, 0.0) == {"attack": 6 * HOUR_MS}
    assert countdown.look([crisis()], NOW + 6 * HOUR_MS, 1.0) == {"attack": 0}


def test_a_clock_that_is_set_back_prolongs_nothing() -> None:
    countdown = Countdown({}, 0.0)
    countdown.look([crisis()], NOW, 0.0)
    assert countdown.look([crisis()], NOW + 5 * HOUR_MS, 5.0 * HOUR_MS) == {"attack": HOUR_MS}
    assert countdown.look([crisis()], NOW - HOUR_MS, 5.5 * HOUR_MS) == {"attack": HOUR_MS // 2}
    assert countdown.look([crisis()], NOW, 6.0 * HOUR_MS) == {"attack": 0}


def test_what_is_left_survives_a_restart_with_a_clock_set_back() -> None:
    before = Countdown({}, 0.0)
    before.look([crisis()], NOW + 5 * HOUR_MS, 0.0)
    after = Countdown(before.left, 99.0)
    assert after.look([crisis()], NOW, 99.0) == {"attack": HOUR_MS}
    assert after.look([crisis()], NOW, 99.0 + HOUR_MS) == {"attack": 0}


@given(st.lists(st.tuples(st.integers(-(10**8), 10**8), st.integers(0, 10**7)), max_size=20))
def test_no_clock_prolongs_a_crisis(steps: list[tuple[int, int]]) -> None:
    countdown, passed, one = Countdown({}, 0.0), 0, crisis()
    countdown.look([one], NOW, 0.0)
    for wall, monotonic in steps:
        passed += monotonic
        left = countdown.look([one], NOW + wall, float(passed))["attack"]
        assert 0 <= left <= max(0, one.for_ms - passed)
        countdown = Countdown(countdown.left, float(passed))
