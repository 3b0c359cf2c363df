"""Pauses before a retry, with the figures that cuts use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.backoff import backoff_ms
from edge.servers.connector import FIRST_RETRY_MS, MAX_RETRY_MS


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_schedule_is_bounded_fast_at_first_and_never_in_step(attempt: int, spread: float) -> None:
    def pause_ms(attempt: int, spread: float) -> float:
        return backoff_ms(attempt, FIRST_RETRY_MS, MAX_RETRY_MS, spread)

    assert FIRST_RETRY_MS / 2 <= pause_ms(attempt, spread) <= MAX_RETRY_MS
    assert pause_ms(1, spread) <= 50
    assert pause_ms(attempt + 1, spread) >= pause_ms(attempt, spread)
    assert pause_ms(attempt, 0.0) <= pause_ms(attempt, spread) <= 2 * pause_ms(attempt, 0.0)


def test_it_doubles_to_its_cap_where_nothing_spreads_it() -> None:
    assert [backoff_ms(attempt, 600, 5000) for attempt in (1, 2, 3, 4, 5, 99)] == pytest.approx(
        [600, 1200, 2400, 4800, 5000, 5000]
    )
