"""What crises do to a policy: they make it stricter, field by field, and the strictest word counts. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from edge.crisis.crisis import Crisis, CrisisState
from edge.errors import InvalidInput
from edge.policy import Patch, Policy, merge_patch

MEASURES: Final[Patch] = {
    "mode": "known_footage",
    "looks": {"crisis": True},
    "tiers": {"start_alert_ms": 60_000},
}
"""What a crisis does unless its patch says otherwise. A null in the patch leaves a measure out."""

_LOWER: Final = "lower"
_HIGHER: Final = "higher"
_ON: Final = (False, True)
_ACTIONS: Final = ("pass", "flag", "cut")
_FAILURES: Final = ("allow", "deny")
STRICTER: Final[Mapping[str, str | tuple[object, ...]]] = {
    "mode": ("shadow", "known_footage", "enforce"),
    "categories.*.enabled": _ON,
    "categories.*.alone": _ACTIONS,
    "categories.*.raise_at": _LOWER,
    "categories.*.flag_at": _LOWER,
    "categories.*.cut_at": _LOWER,
    "categories.*.release_at": _LOWER,
    "categories.*.severity": ("normal", "severe"),
    "categories.*.urgent": _ON,
    "match.enabled": _ON,
    "match.radius": _HIGHER,
    "match.min_quality": _LOWER,
    "match.k": _LOWER,
    "match.span_ms": _HIGHER,
    "match.action": _ACTIONS,
    "match.sound_action": _ACTIONS,
    "tiers.burst_ms": _HIGHER,
    "tiers.alert_interval_ms": _LOWER,
    "tiers.alert_hold_ms": _HIGHER,
    "tiers.blind_limit_ms": _LOWER,
    "tiers.probe_ms": _HIGHER,
    "tiers.start_alert_ms": _HIGHER,
    "tiers.struck_alert_ms": _HIGHER,
    "looks.new_ms": _HIGHER,
    "looks.trusted_ms": _HIGHER,
    "looks.crisis": _ON,
    "failure.on_ledger_down": _FAILURES,
    "failure.on_gate_degraded": _FAILURES,
    "failure.on_no_video": _FAILURES,
    "failure.on_capacity": _FAILURES,
    "failure.on_blind": _ACTIONS,
    "evidence.after_ms": _HIGHER,
    "evidence.longest_ms": _HIGHER,
}
"""Which value of a field is the stricter one: the lower or higher number, or the later of these words. A
crisis changes nothing else."""
_ORDERED: Final = ("cut_at", "flag_at", "raise_at", "release_at")
"""Thresholds of a category, none of which is above the one before."""


def checked_patch(policy: Policy, patch: Patch) -> Patch:
    """The measures of a crisis, changed by a person's patch.

    Raises InvalidInput, which names the field: one that a crisis cannot change, a category that the policy
    lacks, a value that is none, or one that is looser than the policy in force.
    """
    whole = _without_nulls(merge_patch(MEASURES, patch))
    asked = set(_leaves(patch))
    now = policy.for_patterns(None, None).model_dump(mode="json")
    for path, value in _leaves(whole).items():
        field = ".".join(("patch", *path))
        order = _order_of(path)
        if order is None:
            known = ", ".join(STRICTER)
            raise InvalidInput(field, f"a crisis cannot change this; it can make stricter: {known}")
        present = _at(now, path)
        if present is None:
            raise InvalidInput(field, "the policy in force has no such category")
        if not _fits(order, value):
            raise InvalidInput(field, f"must be {_words(order)}")
        if path in asked and _strictest(order, present, value) != value:
            raise InvalidInput(field, f"{value!r} is looser than {present!r}, which is in force")
    try:
        Policy.model_validate(_stricter(now, whole))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(("patch", *map(str, first["loc"])))
        raise InvalidInput(where, first["msg"].removeprefix("Value error, ")) from None
    return whole


def overlaid(policy: Policy, crises: Iterable[Crisis], now_ms: int) -> Policy:
    """A stream's policy under the crises that are for it. Those that are not in force now change nothing.

    The order of the crises does not matter, and no field becomes looser. ``policy`` has no overrides left.
    """
    values: dict[str, Any] | None = None
    for crisis in crises:
        if crisis.state is CrisisState.IN_FORCE and crisis.left_ms(now_ms) > 0:
            values = _stricter(values or policy.model_dump(mode="json"), crisis.patch)
    return policy if values is None else Policy.model_validate(values)


def _stricter(values: Mapping[str, Any], patch: Patch) -> dict[str, Any]:
    """The values with what the patch makes stricter. What it cannot or does not is left as it is."""
    found: dict[str, Any] = {**values}
    for path, value in _leaves(patch).items():
        order, present = _order_of(path), _at(values, path)
        if order is None or present is None or not _fits(order, value):
            continue  # a category that is gone meanwhile, or a field of a newer gate
        _put(found, path, _strictest(order, present, value))
    for name, category in found["categories"].items():
        found["categories"] = {**found["categories"], name: _in_order(category)}
    return found


def _in_order(category: Mapping[str, Any]) -> dict[str, Any]:
    """A threshold that is now above the next one goes down with it, which is stricter."""
    ordered = dict(category)
    for above, below in itertools.pairwise(_ORDERED):
        ordered[below] = min(ordered[below], ordered[above])
    return ordered


def _strictest(order: str | tuple[object, ...], one: Any, other: Any) -> Any:
    if isinstance(order, tuple):
        return max(one, other, key=order.index)
    return min(one, other) if order == _LOWER else max(one, other)


def _fits(order: str | tuple[object, ...], value: object) -> bool:
    if isinstance(order, tuple):
        return any(value is word if isinstance(word, bool) else value == word for word in order)
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _words(order: str | tuple[object, ...]) -> str:
    if not isinstance(order, tuple):
        return "a number"
    return "true or false" if order == _ON else " or ".join(map(str, order))


def _order_of(path: tuple[str, ...]) -> str | tuple[object, ...] | None:
    if len(path) == 3 and path[0] == "categories":
        return STRICTER.get(f"categories.*.{path[2]}")
    return STRICTER.get(".".join(path))


def _leaves(patch: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in patch.items():
        path = (*above, str(name))
        found |= _leaves(value, path) if isinstance(value, dict) else {path: value}
    return found


def _without_nulls(patch: Patch) -> Patch:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in patch.items()
        if value is not None
    }


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values[name] = {**values[name]}
        values = values[name]
    values[path[-1]] = value
