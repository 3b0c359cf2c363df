"""The policy as forms show it: each field with its meaning, unit, bounds and default, as it is defined. Pure.

A field's name in a form is its JSON Pointer (RFC 6901), such as ``/categories/fight/cut_at``.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from edge.errors import InvalidInput
from edge.json_schema import Schema, alternatives, bounds_of, is_nullable, resolved, section_of
from edge.policy import Patch, Policy

_ELSEWHERE: Final = frozenset({"version", "apps", "tenants"})
"""The gate sets the version. Overrides have forms of their own."""
OF_THE_WHOLE: Final = frozenset({"guards", "names", "crisis"})
"""Sections that cannot differ by app or tenant."""
_UNITS: Final = {"_ms": "ms", "_bytes": "bytes"}


class FieldKind(StrEnum):
    """How a field is written in a form."""

    CHOICE = "choice"
    YES_NO = "yes_no"
    WHOLE = "whole"
    NUMBER = "number"
    TEXT = "text"
    LINES = "lines"
    """A list: one value a line."""
    JSON = "json"
    """A value with a structure of its own."""


@dataclass(frozen=True, slots=True)
class PolicyField:
    """One field of a policy."""

    path: tuple[str, ...]
    kind: FieldKind
    meaning: str
    default: Any
    """As JSON. None where the definition has none."""
    unit: str
    """``ms``, ``bytes`` or empty."""
    bounds: tuple[str, ...]
    """In words."""
    choices: tuple[str, ...]
    items: FieldKind
    """Kind of the values of a list."""
    nullable: bool

    @property
    def name(self) -> str:
        return pointer(self.path)

    @property
    def key(self) -> str:
        return self.path[-1]


@dataclass(frozen=True, slots=True)
class FieldSection:
    """Fields that belong together."""

    path: tuple[str, ...]
    """Empty for the top level."""
    meaning: str
    fields: tuple[PolicyField, ...]


@functools.cache
def _schema() -> Schema:
    return Policy.model_json_schema()


def sections(policy: Policy, *, override: bool = False) -> tuple[FieldSection, ...]:
    """Every section of the policy's form. ``override``: without what cannot differ by app or tenant."""
    schema = _schema()
    return tuple(
        section
        for section in _sections(schema, schema, (), policy.model_dump(mode="json"))
        if not (override and section.path[:1] and section.path[0] in OF_THE_WHOLE)
    )


def fields(policy: Policy, *, override: bool = False) -> Iterator[PolicyField]:
    for section in sections(policy, override=override):
        yield from section.fields


def _sections(
    schema: Schema, section: Schema, path: tuple[str, ...], values: Mapping[str, Any]
) -> Iterator[FieldSection]:
    plain: list[PolicyField] = []
    below: list[FieldSection] = []
    for key, value in section["properties"].items():
        if not path and key in _ELSEWHERE:
            continue
        inner = None if is_nullable(value) else section_of(schema, value)
        named = value.get("additionalProperties")
        if inner is not None:
            below += _sections(schema, inner, (*path, key), values.get(key, {}))
        elif isinstance(named, dict) and (one := section_of(schema, named)) is not None:
            for name, part in values.get(key, {}).items():
                below += _sections(schema, one, (*path, key, name), part)
        else:
            plain.append(_field(schema, value, (*path, key)))
    meaning = " ".join(section.get("description", "").split()) if path else ""
    yield FieldSection(path, meaning, tuple(plain))
    yield from below


def _field(schema: Schema, value: Schema, path: tuple[str, ...]) -> PolicyField:
    one, *others = alternatives(schema, value)
    kind = FieldKind.JSON if others else _kind(one)
    items = FieldKind.TEXT
    bounds = bounds_of({**one, **{k: v for k, v in value.items() if k != "anyOf"}})
    if kind is FieldKind.LINES:
        item = resolved(schema, one.get("items", {}))
        items = _kind(item)
        if items in (FieldKind.LINES, FieldKind.JSON):
            kind = FieldKind.JSON
        bounds += [f"each {bound}" for bound in bounds_of(item)]
    return PolicyField(
        path,
        kind,
        value.get("description", ""),
        value.get("default"),
        next((unit for end, unit in _UNITS.items() if path[-1].endswith(end)), ""),
        tuple(bounds),
        tuple(map(str, one.get("enum", ()))),
        items,
        is_nullable(value),
    )


def _kind(value: Schema) -> FieldKind:
    if "enum" in value:
        return FieldKind.CHOICE
    match value.get("type"):
        case "boolean":
            return FieldKind.YES_NO
        case "integer":
            return FieldKind.WHOLE
        case "number":
            return FieldKind.NUMBER
        case "string":
            return FieldKind.TEXT
        case "array":
            return FieldKind.LINES
        case _:
            return FieldKind.JSON


def pointer(path: tuple[str, ...]) -> str:
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)


def written(field: PolicyField, value: Any) -> str:
    """A value as a form shows it. ``parsed`` reads it back."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() if field.kind is FieldKind.LINES:
            return "\n".join(map(str, value))
        case float() | int():
            return f"{value:.15g}" if isinstance(value, float) else str(value)
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False, indent=2)


def parsed(field: PolicyField, text: str) -> Any:
    """Reads what a form says. What is no number stays text, which the policy then refuses with its bounds.

    Raises InvalidInput for a field of JSON that is none.
    """
    text = text.strip()
    if field.kind is FieldKind.JSON:
        if not text and field.nullable:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(".".join(("policy", *field.path)), f"is no JSON: {error}") from None
    if field.kind is FieldKind.LINES:
        return [_plain(field.items, line.strip()) for line in text.splitlines() if line.strip()]
    return None if not text and field.nullable else _plain(field.kind, text)


def _plain(kind: FieldKind, text: str) -> Any:
    if kind is FieldKind.YES_NO and text in ("true", "false"):
        return text == "true"
    try:
        if kind is FieldKind.WHOLE:
            return int(text)
        if kind is FieldKind.NUMBER and math.isfinite(number := float(text)):
            return number
    except ValueError:
        pass
    return text


def at(values: Any, path: tuple[str, ...]) -> Any:
    """The value at a path of a JSON document. None where there is none."""
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return None
        values = values[part]
    return values


def has(values: Any, path: tuple[str, ...]) -> bool:
    """Whether a document names the path, be it with null."""
    inner = at(values, path[:-1]) if path[:-1] else values
    return isinstance(inner, dict) and path[-1] in inner


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets the value at a path, and makes the objects on the way."""
    for part in path[:-1]:
        inner = values.get(part)
        if not isinstance(inner, dict):
            inner = values[part] = {}
        values = inner
    values[path[-1]] = value


def take_out(values: dict[str, Any], path: tuple[str, ...]) -> None:
    """Removes a path, and the objects on the way that are empty then."""
    inner = values.get(path[0])
    if len(path) == 1:
        values.pop(path[0], None)
    elif isinstance(inner, dict):
        take_out(inner, path[1:])
        if not inner:
            del values[path[0]]


def changed_by(policy: Policy, form: Mapping[str, str]) -> dict[str, Any]:
    """The policy with what a form says, as JSON. Fields that the form does not name stay.

    Raises InvalidInput for a field of JSON that is none.
    """
    values: dict[str, Any] = policy.model_dump(mode="json")
    for field in fields(policy):
        if field.name in form:
            _put_unless_same(values, field, form[field.name])
    return values


def _put_unless_same(values: dict[str, Any], field: PolicyField, text: str) -> None:
    """A number that the form shows with fewer digits than it has stays as it is."""
    if text.replace("\r\n", "\n").strip() != written(field, at(values, field.path)).strip():
        put(values, field.path, parsed(field, text))


def patch_changed_by(policy: Policy, patch: Patch, form: Mapping[str, str]) -> Patch:
    """An override with what a form says. What is empty in the form is not overridden.

    ``policy`` is what the override leads to: it says which fields there are. Fields that the form does not
    name stay, and so does a null, which restores a default. Raises InvalidInput as ``changed_by`` does.
    """
    changed: dict[str, Any] = json.loads(json.dumps(patch))
    for field in fields(policy, override=True):
        if field.name not in form:
            continue
        text = form[field.name]
        if text.strip():
            _put_unless_same(changed, field, text)
        elif at(changed, field.path) is not None:
            take_out(changed, field.path)
    return changed
