"""Changing the policy: a form, then what it changes and a reason, then the new version.

The form is made of the policy's definition (``edge.policy_fields``). It carries the version that it shows, so
what somebody else has set meanwhile is never overwritten unseen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup, escape
from starlette.responses import Response

from edge.api.auth import Role
from edge.console.policy_page import change_of, fields_of, stored_version, version_of
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.detect.default_policy import policy_for
from edge.errors import CallRefused, InvalidInput, ModelError
from edge.policy import CategoryPolicy, Patch, Policy, merge_patch, parse_policy
from edge.policy_changes import patch_between
from edge.policy_fields import (
    FieldKind,
    FieldSection,
    PolicyField,
    at,
    changed_by,
    patch_changed_by,
    sections,
    written,
)

_PLACES: Final = ("apps", "tenants")
_STALE: Final = 409
_SHOWN: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


@dataclass(frozen=True, slots=True)
class _Place:
    """What a form changes: the whole policy, or the override of an app or a tenant."""

    within: str = ""
    """``apps``, ``tenants``, or empty for the whole policy."""
    pattern: str = ""
    """Empty for an override that is yet to be named."""

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> _Place:
        """Raises InvalidInput."""
        within = asked.get("within", "")
        if within and within not in _PLACES:
            raise InvalidInput("within", f"is none of {', '.join(_PLACES)}")
        return cls(within, asked.get("pattern", "").strip())

    def patch(self, policy: Policy) -> Patch:
        return getattr(policy, self.within).get(self.pattern, {}) if self.within else {}

    def resolved(self, policy: Policy) -> Policy:
        """The policy that a stream there has."""
        if not self.within or self.pattern not in getattr(policy, self.within):
            return policy.for_patterns(None, None) if self.within else policy
        if self.within == "apps":
            return policy.for_patterns(self.pattern, None)
        return policy.for_patterns(None, self.pattern)


async def edit(visit: Visit) -> Response:
    visit.need(Role.ADMIN)
    stored = await stored_version(visit)
    base = await asyncio.to_thread(parse_policy, stored.json)
    return await _form(visit, stored, base, _Place.of(visit.request.query_params), {}, "")


async def edit_json(visit: Visit) -> Response:
    visit.need(Role.ADMIN)
    stored = await stored_version(visit)
    return _json_form(visit, stored.version, stored.json, "")


async def review(visit: Visit) -> Response:
    """Shows what a form changes, before anything is changed."""
    expected = version_of(visit.form.get("expected", ""))
    stored = await stored_version(visit, expected)
    if "json" in visit.form:
        text = visit.form["json"]
        try:
            after = await _parsed(_compact(text))
        except InvalidInput as error:
            return _json_form(visit, expected, text, str(error))
    else:
        base = await asyncio.to_thread(parse_policy, stored.json)
        place = _Place.of(visit.form)
        try:
            text = json.dumps(await _changed(visit, base, place), ensure_ascii=False)
            after = await _parsed(text)
        except InvalidInput as error:
            return await _form(visit, stored, base, place, visit.form, str(error))
    current = await stored_version(visit)
    if current.version != expected:
        return await _stale(visit, current, stored, after)
    before = await asyncio.to_thread(parse_policy, current.json)
    judged = await visit.gate.model_swap.judged()
    return visit.show(
        "policy_review.html",
        change=await asyncio.to_thread(change_of, before, after, judged),
        json=json.dumps(after.model_dump(mode="json")),
        expected=expected,
    )


async def put(visit: Visit) -> Response:
    """Stores a version and puts it in force."""
    expected = version_of(visit.form.get("expected", ""))
    text = _compact(visit.form.get("json", ""))
    request = operator_pb2.SetPolicyRequest(
        json=text, expected_version=expected, reason=visit.reason("policy")
    )
    try:
        await visit.call(visit.operator.SetPolicy, request)
    except CallRefused as error:
        current = await stored_version(visit)
        if error.status != _STALE or current.version == expected:
            raise
        return await _stale(visit, current, await stored_version(visit, expected), await _parsed(text))
    return visit.done("done.policy", "/policy")


async def _stale(
    visit: Visit, current: operator_pb2.Policy, edited: operator_pb2.Policy, wanted: Policy
) -> Response:
    """Somebody else has set a policy meanwhile: what that changed, and what both have changed."""
    old, new = [(await _parsed(each.json)).model_dump(mode="json") for each in (edited, current)]
    mine = wanted.model_dump(mode="json")
    own = fields_of(old, mine)
    theirs = fields_of(old, new)
    return visit.show(
        "policy_stale.html",
        _STALE,
        current=current,
        edited=edited,
        theirs=theirs,
        own=own,
        both=sorted({field for field, _, _ in own} & {field for field, _, _ in theirs}),
        json=json.dumps(merge_patch(new, patch_between(old, mine))),
        expected=current.version,
    )


def _compact(text: str) -> str:
    """JSON without the blanks and escapes that pages add, so that they do not count. Other text as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text


async def _parsed(text: str) -> Policy:
    """Raises InvalidInput, also for a policy that is too long."""
    return await asyncio.to_thread(parse_policy, text)


async def _changed(visit: Visit, base: Policy, place: _Place) -> dict[str, Any]:
    """The whole policy as JSON, with what the form says. Raises InvalidInput."""
    form = visit.form
    if not place.within:
        values = changed_by(base, form)
        for name in list(values["categories"]):
            if form.get(f"drop/{name}") == "1":
                del values["categories"][name]
        if name := form.get("add_category", "").strip():
            if name in values["categories"]:
                raise InvalidInput("policy.categories", f"{name[:64]!r} is there already")
            added = (await _suggested(visit)).get(name, CategoryPolicy())
            values["categories"][name] = added.model_dump(mode="json")
        return values
    if not place.pattern:
        raise InvalidInput("pattern", "name the app or tenant that differs")
    values = base.model_dump(mode="json")
    if form.get("remove") == "1":
        values[place.within].pop(place.pattern, None)
    else:
        changed = patch_changed_by(place.resolved(base), place.patch(base), form)
        values[place.within][place.pattern] = changed
    return values


async def _suggested(visit: Visit) -> Mapping[str, CategoryPolicy]:
    """Thresholds that the model in force suggests, by category. Empty if its files cannot be read."""
    try:
        return policy_for((await visit.gate.model_swap.current()).pack.manifest).categories
    except ModelError:
        return {}


@dataclass(frozen=True, slots=True)
class _Shown:
    """A field with what the form says of it."""

    field: PolicyField
    meaning: Markup
    value: str
    inherited: str
    """Of an override: the value that holds without it."""
    default: str
    human: str
    """A long time in days or hours. Empty for what is clear as it is."""
    wrong: bool
    changed: bool
    """Whether it differs from its default, or is overridden."""


async def _form(
    visit: Visit,
    stored: operator_pb2.Policy,
    base: Policy,
    place: _Place,
    given: Mapping[str, str],
    problem: str,
) -> Response:
    resolved = place.resolved(base)
    values = resolved.model_dump(mode="json")
    inherited = base.for_patterns(None, None).model_dump(mode="json") if place.within else {}
    patch = place.patch(base)
    shown = [
        (
            section,
            [_shown(field, values, inherited, patch, place, given, problem) for field in section.fields],
        )
        for section in sections(resolved, override=bool(place.within))
    ]
    judged = await visit.gate.model_swap.judged() or frozenset()
    return visit.show(
        "policy_form.html",
        400 if problem else 200,
        expected=stored.version,
        within=place.within,
        pattern=place.pattern,
        known=bool(place.within) and place.pattern in getattr(base, place.within),
        sections=[(section, fields, _is_open(section, fields)) for section, fields in shown],
        droppable=[] if place.within else list(base.categories),
        addable=sorted(judged - base.categories.keys()),
        added=given.get("add_category", ""),
        problem=problem,
        kinds=FieldKind,
    )


def _shown(
    field: PolicyField,
    values: dict[str, Any],
    inherited: dict[str, Any],
    patch: Patch,
    place: _Place,
    given: Mapping[str, str],
    problem: str,
) -> _Shown:
    value = at(patch if place.within else values, field.path)
    text = given.get(field.name, written(field, value)).replace("\r\n", "\n")
    default = written(field, field.default).replace("\n", ", ")
    path = ".".join(field.path)
    return _Shown(
        field,
        _coded(field.meaning),
        text,
        written(field, at(inherited, field.path)),
        default if len(default) <= 64 else "",
        _human(field, at(values, field.path)),
        f"policy.{path}: " in problem or f".{path}: " in problem,
        value is not None if place.within else value != field.default,
    )


def _coded(text: str) -> Markup:
    """What stands between backticks is code."""
    parts = text.split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def _human(field: PolicyField, value: Any) -> str:
    """A time of seconds and more as people say it."""
    if field.unit == "bytes" and isinstance(value, int):
        return f"{value / (1 << 20):g} MiB"
    if field.unit != "ms":
        return ""
    many = value if isinstance(value, list) else [value]
    return ", ".join(_duration(each) for each in many if isinstance(each, int) and each >= 1_000)


def _duration(ms: int) -> str:
    for size, unit in _SHOWN:
        if ms >= size:
            return f"{ms / size:,.4g} {unit}" if ms < 10**12 else "∞"
    return f"{ms} ms"


def _is_open(section: FieldSection, fields: list[_Shown]) -> bool:
    """What is tuned most, and what is wrong."""
    often = not section.path or (section.path[0] == "categories" and len(section.path) == 2)
    return often or any(each.wrong for each in fields)


def _json_form(visit: Visit, expected: int, text: str, problem: str) -> Response:
    return visit.show(
        "policy_json.html",
        400 if problem else 200,
        expected=expected,
        json=text.replace("\r\n", "\n"),
        problem=problem,
    )
