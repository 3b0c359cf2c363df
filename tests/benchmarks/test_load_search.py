"""The search finds a box's capacity, even if a run sometimes fails by chance."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks._load_search import find_capacity


def outcome(streams: int, *, held: bool) -> dict[str, Any]:
    return {
        "streams": streams,
        "publisher_lag_ms_max": 1.0,
        "failed": {},
        "shed": {"gave_way": 7} if held else {"late": 3, "gave_way": 1},
        "latency_ms": {"p99": 80.0},
        "late": 0,
    }


@given(st.integers(0, 900), st.integers(1, 1000), st.integers(2, 9))
def test_a_run_that_fails_by_chance_is_tried_again_and_never_counts_too_much(
    capacity: int, guess: int, unlucky: int
) -> None:
    trials = 0

    def trial(streams: int) -> dict[str, Any]:
        nonlocal trials
        trials += 1
        return outcome(streams, held=streams <= capacity and trials % unlucky != 0)

    found = find_capacity(trial, guess)
    assert found.best.get("streams", 0) <= capacity
    assert found.limited_by.startswith("shed: late 3")
    assert len(found.trials) == trials <= 60


@given(st.integers(0, 900), st.integers(1, 1000))
def test_capacity_is_found_within_its_precision(capacity: int, guess: int) -> None:
    found = find_capacity(lambda streams: outcome(streams, held=streams <= capacity), guess)
    best = found.best.get("streams", 0)
    assert capacity - max(1, 0.05 * capacity) <= best <= capacity
