"""Policies are whole or refused, and the refusal names the field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.policy import MAX_POLICY_BYTES, CategoryPolicy, Policy, parse_policy


def test_default_policy_survives_its_own_json() -> None:
    assert parse_policy(Policy().model_dump_json()) == Policy()


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_thresholds_are_accepted_only_in_order(values: list[float]) -> None:
    release, raised, flag, cut = values
    json = CategoryPolicy.model_construct(
        release_at=release, raise_at=raised, flag_at=flag, cut_at=cut
    ).model_dump_json()
    text = f'{{"categories": {{"fight": {json}}}}}'
    if values == sorted(values):
        assert parse_policy(text).categories["fight"].cut_at == cut
    else:
        with pytest.raises(InvalidInput, match="ordered"):
            parse_policy(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"budget_ms": 1}', "policy.budget_ms"),
        ('{"categories": {"fight": {"cut_at": 1.5}}}', "policy.categories.fight.cut_at"),
        ('{"ladder": {"steps_ms": []}}', "policy.ladder.steps_ms"),
        ('{"match": {"k": 9, "n": 3}}', "policy.match"),
        ('{"no_such": 1}', "policy.no_such"),
        ("[", "policy"),
    ],
)
def test_error_names_the_field(text: str, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_policy(text)
    assert caught.value.field == named


def test_size_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match=str(MAX_POLICY_BYTES)):
        parse_policy(" " * (MAX_POLICY_BYTES + 1))
