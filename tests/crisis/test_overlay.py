"""A crisis only makes a policy stricter, field by field, whatever the order of several."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.crisis import MEASURES, CrisisState, checked_patch, overlaid
from edge.crisis.overlay import STRICTER
from edge.errors import InvalidInput
from edge.policy import Mode, Patch, Policy
from tests.crisis.crises import HOUR_MS, NOW, crisis

SCORES = st.floats(0.0, 1.0)


def leaf(field: str, value: Any) -> Patch:
    patch: Any = value
    for name in reversed(field.replace("*", "fight").split(".")):
        patch = {name: patch}
    return patch  # type: ignore[no-any-return]


def merged(patches: list[Patch]) -> Patch:
    found: dict[str, Any] = {}
    for patch in patches:
        for name, value in patch.items():
            both = isinstance(value, dict) and isinstance(found.get(name), dict)
            found[name] = merged([found[name], value]) if both else value  # type: ignore[list-item]
    return found


def values_of(field: str) -> st.SearchStrategy[Patch]:
    order = STRICTER[field]
    if isinstance(order, tuple):
        return st.sampled_from(order).map(lambda value: leaf(field, value))
    if field.endswith("_at"):
        return SCORES.map(lambda value: leaf(field, value))
    bounds = {"match.radius": (0, 31), "match.min_quality": (0, 100), "match.k": (1, 64)}
    low, high = bounds.get(field, (500, 2000))
    return st.integers(low, high).map(lambda value: leaf(field, value))


PATCHES = st.lists(st.sampled_from(sorted(STRICTER)).flatmap(values_of), max_size=8).map(merged)


def strictness(policy: Policy) -> dict[str, float]:
    """How strict each field is: more is stricter."""
    values = policy.model_dump(mode="json")
    found = {}
    for field, order in STRICTER.items():
        value: Any = values
        for name in field.replace("*", "fight").split("."):
            value = value[name]
        found[field] = order.index(value) if isinstance(order, tuple) else value * (-1, 1)[order == "higher"]
    return found


@settings(deadline=None, max_examples=40)
@given(st.lists(PATCHES, min_size=1, max_size=3))
def test_crises_compose_in_any_order_and_never_loosen(patches: list[Patch]) -> None:
    base = Policy()
    crises = [crisis(f"c{n}", patch=patch) for n, patch in enumerate(patches)]
    whole = overlaid(base, crises, NOW)
    assert all(overlaid(base, order, NOW) == whole for order in itertools.permutations(crises))
    assert overlaid(whole, crises, NOW) == whole
    for one in (base, *(overlaid(base, [each], NOW) for each in crises)):
        least, found = strictness(one), strictness(whole)
        assert all(found[field] >= least[field] for field in STRICTER)


@settings(deadline=None, max_examples=40)
@given(PATCHES)
def test_nothing_is_left_of_a_crisis_that_is_not_in_force(patch: Patch) -> None:
    base = Policy()
    ended = crisis(patch=patch).ended("omar", "", NOW)
    proposed = crisis(patch=patch, state=CrisisState.PROPOSED)
    assert overlaid(base, [ended, proposed], NOW) is base
    assert overlaid(base, [crisis(patch=patch)], NOW + 6 * HOUR_MS) is base


def test_the_measures_without_a_patch() -> None:
    base = Policy(mode=Mode.SHADOW)
    found = overlaid(base, [crisis(patch=checked_patch(base, {}))], NOW)
    assert (found.mode, found.looks.crisis, found.tiers.start_alert_ms) == (Mode.KNOWN_FOOTAGE, True, 60_000)
    enforced = overlaid(Policy(mode=Mode.ENFORCE), [crisis(patch=MEASURES)], NOW)
    assert enforced.mode is Mode.ENFORCE


def test_a_null_leaves_a_measure_out() -> None:
    patch = checked_patch(Policy(), {"mode": None, "tiers": None})
    assert patch == {"looks": {"crisis": True}}


def test_a_threshold_takes_those_below_it_along() -> None:
    found = overlaid(Policy(), [crisis(patch={"categories": {"fight": {"cut_at": 0.1}}})], NOW)
    fight = found.categories["fight"]
    assert (fight.cut_at, fight.flag_at, fight.raise_at, fight.release_at) == (0.1, 0.1, 0.1, 0.1)


@pytest.mark.parametrize(
    ("patch", "field", "problem"),
    [
        ({"categories": {"fight": {"cut_at": 0.9}}}, "patch.categories.fight.cut_at", "looser than 0.85"),
        ({"match": {"action": "flag"}}, "patch.match.action", "looser than 'cut'"),
        ({"ladder": {"steps_ms": [1000]}}, "patch.ladder.steps_ms", "cannot change"),
        ({"version": 7}, "patch.version", "cannot change"),
        ({"apps": {"live": {"mode": "enforce"}}}, "patch.apps.live.mode", "cannot change"),
        ({"categories": {"flood": {"cut_at": 0.1}}}, "patch.categories.flood.cut_at", "no such category"),
        ({"categories": {"fight": {"cut_at": -1}}}, "patch.categories.fight", "greater than"),
        ({"categories": {"fight": {"cut_at": True}}}, "patch.categories.fight.cut_at", "a number"),
        ({"categories": {"fight": {"cut_at": float("nan")}}}, "patch.categories.fight.cut_at", "a number"),
        ({"looks": {"crisis": 1}}, "patch.looks.crisis", "true or false"),
        ({"mode": "strict"}, "patch.mode", "shadow or known_footage or enforce"),
        ({"looks": [1]}, "patch.looks", "cannot change"),
        ({"tiers": {"start_alert_ms": 10**9}}, "patch.tiers.start_alert_ms", "less than"),
    ],
)
def test_a_patch_that_is_no_stricter_is_refused_with_its_field(
    patch: Patch, field: str, problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem) as refused:
        checked_patch(Policy(), patch)
    assert refused.value.field.startswith(field)


def test_a_category_that_is_gone_meanwhile_is_no_harm() -> None:
    patch: Patch = {"categories": {"flood": {"cut_at": 0.1}}, "of_a_newer_gate": 1}
    assert overlaid(Policy(), [crisis(patch=patch)], NOW) == Policy()
