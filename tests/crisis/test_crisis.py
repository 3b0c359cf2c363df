"""The life of a crisis: proposed, in force, ended, and no other way."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.crisis import Crisis, CrisisState, declared
from edge.errors import Conflict, GateError, InvalidInput, PermissionRefused
from tests.crisis.crises import HOUR_MS, NOW, crisis

DAY_MS = 24 * HOUR_MS


def test_one_person_puts_a_crisis_in_force_where_that_is_enough() -> None:
    made = declared(crisis(state=CrisisState.PROPOSED), two_people=False, longest_ms=DAY_MS)
    assert (made.state, made.begun_ms, made.until_ms) == (CrisisState.IN_FORCE, NOW, NOW + 6 * HOUR_MS)


def test_a_second_person_starts_the_time() -> None:
    made = declared(crisis(state=CrisisState.PROPOSED), two_people=True, longest_ms=DAY_MS)
    assert made.state is CrisisState.PROPOSED
    with pytest.raises(PermissionRefused, match="another person"):
        made.confirmed("rita", NOW + 1)
    begun = made.confirmed("omar", NOW + HOUR_MS)
    assert (begun.state, begun.until_ms) == (CrisisState.IN_FORCE, NOW + 7 * HOUR_MS)
    with pytest.raises(Conflict, match="in_force"):
        begun.confirmed("omar", NOW)


def test_a_drill_needs_one_person() -> None:
    drill = crisis(state=CrisisState.PROPOSED, drill=True)
    assert declared(drill, two_people=True, longest_ms=DAY_MS).state is CrisisState.IN_FORCE


def test_nobody_confirms_what_was_given_up() -> None:
    proposed = crisis(state=CrisisState.PROPOSED)
    with pytest.raises(Conflict, match="nobody confirmed"):
        proposed.confirmed("omar", NOW + 6 * HOUR_MS)


def test_the_end_is_the_end() -> None:
    over = crisis().ended("omar", "the police say so", NOW + 5)
    assert (over.state, over.ended_ms, over.left_ms(NOW)) == (CrisisState.ENDED, NOW + 5, 0)
    with pytest.raises(Conflict):
        over.ended("omar", "", NOW)
    with pytest.raises(Conflict):
        over.confirmed("omar", NOW)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"name": "Attack!"}),
        ("name", {"name": "../../etc"}),
        ("duration_ms", {"for_ms": 59_999}),
        ("duration_ms", {"for_ms": DAY_MS + 1}),
        ("apps", {"apps": ("live",) * 33}),
        ("apps", {"apps": ("",)}),
        ("apps", {"apps": ("a\nb",)}),
    ],
)
def test_a_wrong_field_is_named(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        declared(dataclasses.replace(crisis(), **values), two_people=False, longest_ms=DAY_MS)
    assert refused.value.field == field


STEPS = st.lists(
    st.tuples(st.sampled_from(["confirm", "end"]), st.sampled_from("ab"), st.integers(0, DAY_MS))
)


@given(st.booleans(), STEPS)
def test_states_only_go_forward(two_people: bool, steps: list[tuple[str, str, int]]) -> None:
    order = list(CrisisState)
    made = declared(
        dataclasses.replace(crisis(state=CrisisState.PROPOSED), declared_by="a"),
        two_people=two_people,
        longest_ms=DAY_MS,
    )
    for step, by, after in steps:
        before: Crisis = made
        try:
            made = made.confirmed(by, NOW + after) if step == "confirm" else made.ended(by, "", NOW + after)
        except GateError:
            continue
        assert order.index(made.state) > order.index(before.state)
        assert made.state is not CrisisState.IN_FORCE or made.confirmed_by != made.declared_by
        assert 0 <= made.left_ms(NOW + after) <= made.for_ms
