"""Priorities of incidents: bounded, higher with each part, in the proportions of the policy's weights."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.policy import PriorityWeights, QueuePolicy
from edge.priority import explain_queue, priority

WEIGHTS = st.builds(PriorityWeights, **{name: st.floats(0.5, 1000) for name in PriorityWeights.model_fields})
PARTS = st.fixed_dictionaries(
    {
        "severe": st.booleans(),
        "score": st.floats(-1, 2),
        "live": st.booleans(),
        "viewers": st.integers(-1, 10**9),
        "on_air_ms": st.floats(-1e9, 1e9),
        "waiting_ms": st.floats(-1e9, 1e10),
        "strikes": st.integers(-1, 99),
    }
)
ALL: dict[str, Any] = {
    "severe": True,
    "score": 1,
    "live": True,
    "viewers": 10**6,
    "on_air_ms": 1e9,
    "waiting_ms": 1e9,
    "strikes": 9,
}
NONE: dict[str, Any] = {**dict.fromkeys(ALL, 0), "severe": False, "live": False}


@given(WEIGHTS, PARTS, st.floats(0.01, 1))
def test_a_priority_is_bounded_and_rises_with_each_of_its_parts(
    weights: PriorityWeights, parts: dict[str, Any], more: float
) -> None:
    queue = QueuePolicy(weights=weights)
    now = priority(queue, **parts)
    assert 0 <= now <= 100
    for name, value in parts.items():
        step = {"score": more, "viewers": 100, "strikes": 1}.get(name, more * 1e6)
        higher = True if isinstance(value, bool) else value + step
        assert priority(queue, **{**parts, name: higher}) >= now
    assert priority(queue, **ALL) == pytest.approx(100)


@given(WEIGHTS)
def test_each_part_weighs_what_the_policy_says(weights: PriorityWeights) -> None:
    queue = QueuePolicy(weights=weights, overdue_ms=0)
    for name, part in (("severity", "severe"), ("score", "score"), ("waiting", "waiting_ms")):
        gained = priority(queue, **{**NONE, part: ALL[part]}) - priority(queue, **NONE)
        whole = 100 * getattr(weights, name) / weights.total
        assert gained == pytest.approx(whole / 2 if name == "severity" else whole)


def test_what_waits_for_long_comes_before_what_is_new_and_severe() -> None:
    queue = QueuePolicy()
    old = {**NONE, "waiting_ms": queue.overdue_ms, "score": 0.5}
    new = {**NONE, "severe": True, "score": 0.9}
    assert priority(queue, **old) > priority(queue, **new)
    never = queue.model_copy(update={"overdue_ms": 0})
    assert priority(never, **old) < priority(never, **new)


def test_viewers_and_time_on_air_count_while_it_is_live() -> None:
    queue = QueuePolicy()
    over = {**NONE, "viewers": 10**6, "on_air_ms": 1e9}
    assert priority(queue, **over) == priority(queue, **NONE)
    assert priority(queue, **{**over, "live": True}) == pytest.approx(17.5 + 15 + 10 + 5)


def test_it_is_explained_part_by_part() -> None:
    lines = list(explain_queue(QueuePolicy(weights=PriorityWeights(severity=65, score=0))))
    assert (
        lines[0] == "queue severity: up to 59.1 of 100, severe, urgent or escalated; half of it for all else"
    )
    assert lines[1].startswith("queue score: up to 0 of 100")
    assert "queue waiting: up to 9.09 of 100, in full after 30 min" in lines
    assert lines[-1] == "queue overdue: what has waited for 12 h counts as severe and live"
    assert "overdue" not in " ".join(explain_queue(QueuePolicy(overdue_ms=0)))


def test_something_has_to_weigh() -> None:
    with pytest.raises(ValidationError, match="one of the weights must be over 0"):
        PriorityWeights(**dict.fromkeys(PriorityWeights.model_fields, 0.0))
