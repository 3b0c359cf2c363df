"""Forms of the policy: every field is there, what is written is read back, and overrides stay small."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.policy import Patch, Policy, merge_patch, parse_policy
from edge.policy_changes import changed_fields, patch_between
from edge.policy_fields import (
    FieldKind,
    at,
    changed_by,
    fields,
    parsed,
    patch_changed_by,
    pointer,
    put,
    take_out,
    written,
)

POLICY = parse_policy('{"categories": {"fight": {}, "a/b~c": {"cut_at": 0.912345678901234567}}}')
VALUES = POLICY.model_dump(mode="json")


def test_every_plain_value_of_the_policy_has_one_field() -> None:
    found = list(fields(POLICY))
    assert len({field.name for field in found}) == len(found)
    paths = {field.path for field in found}

    def plain(value: Any, path: tuple[str, ...]) -> set[tuple[str, ...]]:
        if path in paths or path[:1] in (("version",), ("apps",), ("tenants",)):
            return set()
        if isinstance(value, dict) and value:
            return {each for key in value for each in plain(value[key], (*path, key))}
        return {path}

    assert plain(VALUES, ()) == set()
    assert all(field.meaning for field in found)
    assert {field.path[0] for field in fields(POLICY, override=True)} == {p[0] for p in paths} - {
        "guards",
        "names",
        "crisis",
    }


def test_what_is_written_is_read_back() -> None:
    for field in fields(POLICY):
        value = at(VALUES, field.path)
        if value is not None or field.nullable:
            read = parsed(field, written(field, value))
            assert read == (pytest.approx(value) if isinstance(value, float) else value), field.name
    untouched = {field.name: written(field, at(VALUES, field.path)) for field in fields(POLICY)}
    assert changed_by(POLICY, untouched) == VALUES, "to the last digit"
    assert changed_by(POLICY, {}) == VALUES


@given(st.fixed_dictionaries({}, optional={field.name: st.text(max_size=8) for field in fields(POLICY)}))
def test_whatever_a_form_says_the_policy_is_valid_or_a_field_is_named(form: dict[str, str]) -> None:
    assert problem_of(form).startswith("policy")


def problem_of(form: dict[str, str]) -> str:
    try:
        parse_policy(json.dumps(changed_by(POLICY, form)))
    except InvalidInput as error:
        return str(error)
    return "policy: none"


@given(st.dictionaries(st.sampled_from([field.name for field in fields(POLICY, override=True)]), st.just("")))
def test_what_is_left_empty_overrides_nothing(form: dict[str, str]) -> None:
    assert patch_changed_by(POLICY, {}, form) == {}


def test_an_override_keeps_what_its_form_does_not_show() -> None:
    patch: Patch = {"match": {"k": 5, "radius": None}, "categories": {"fight": None}}
    form = {field.name: "" for field in fields(POLICY, override=True)} | {"/match/k": "6"}
    assert patch_changed_by(POLICY, patch, form) == {
        "match": {"k": 6, "radius": None},
        "categories": {"fight": None},
    }
    assert patch["match"] == {"k": 5, "radius": None}
    assert patch_changed_by(POLICY, {"match": {"k": 5}}, {"/match/k": ""}) == {}


def test_paths_are_json_pointers() -> None:
    assert pointer(("categories", "a/b~c", "cut_at")) == "/categories/a~1b~0c/cut_at"
    values: dict[str, Any] = {}
    put(values, ("a", "b", "c"), 1)
    assert values == {"a": {"b": {"c": 1}}}
    take_out(values, ("a", "x", "c"))
    take_out(values, ("a", "b", "c"))
    assert values == {}


def test_kinds_follow_from_the_definition() -> None:
    kinds = {field.name: field for field in fields(Policy())}
    assert kinds["/mode"].choices == ("enforce", "known_footage", "shadow")
    assert kinds["/ladder/steps_ms"].kind is FieldKind.LINES
    assert kinds["/ladder/steps_ms"].items is FieldKind.WHOLE
    assert kinds["/rules"].kind is FieldKind.JSON
    assert kinds["/categories/fight/false_flags_per_hour"].nullable
    assert kinds["/evidence/ring_bytes"].unit == "bytes"
    assert kinds["/tiers/burst_ms"].bounds == ("≥ 50", "≤ 2000")
    assert parsed(kinds["/tiers/burst_ms"], " ٢٠٠ ") == 200


documents = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), documents, max_size=3)


@given(objects, objects)
def test_a_patch_between_two_documents_makes_the_second_of_the_first(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert not changed_fields(merge_patch(before, patch_between(before, after)), after)
