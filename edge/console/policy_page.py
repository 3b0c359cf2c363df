"""The policy in force, what it does in the words of ``policy explain``, and every version before it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from edge.api import bounds
from edge.api.auth import Role
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.errors import GateError, InvalidInput, NotFound
from edge.policy import Policy, parse_policy
from edge.policy_changes import changed_fields, explained, overrides_of, shown_value
from edge.policy_warnings import policy_warnings

_PAGE = 25
_MOST_VERSION = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What putting one policy in place of another does."""

    fields: tuple[tuple[str, str, str], ...]
    """Field, before, after: as text."""
    begins: tuple[str, ...]
    """What the gate does from then on, in the words of ``policy explain``."""
    ends: tuple[str, ...]
    """What it does no more."""
    warnings: tuple[str, ...]


def change_of(before: Policy, after: Policy, judged: frozenset[str] | None) -> PolicyChange:
    """Pure. It checks up to a thousand pairs of overrides: call it in a thread."""
    old, new = explained(before), explained(after)
    return PolicyChange(
        fields_of(before.model_dump(mode="json"), after.model_dump(mode="json")),
        tuple(line for line in new if line not in old),
        tuple(line for line in old if line not in new),
        policy_warnings(after, judged),
    )


def fields_of(before: dict[str, Any], after: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (str(each["field"]), shown_value(each["before"]), shown_value(each["after"]))
        for each in changed_fields(before, after)
    )


async def stored_version(visit: Visit, version: int = 0) -> operator_pb2.Policy:
    """One version of the policy, or with 0 that in force. Raises CallRefused."""
    return await visit.call(visit.operator.GetPolicy, operator_pb2.GetPolicyRequest(version=version))


def version_of(text: str) -> int:
    """A version's number from a form or an address. Raises InvalidInput."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidInput("version", "must be the number of a version of the policy")
    return bounds.number("version", int(text), 1, _MOST_VERSION)


async def policy(visit: Visit) -> Response:
    """What is in force."""
    stored = await stored_version(visit)
    lines: list[str] = []
    warnings: tuple[str, ...] = ()
    overrides: list[dict[str, Any]] = []
    problem = ""
    try:
        parsed = await asyncio.to_thread(parse_policy, stored.json)
        judged = await visit.gate.model_swap.judged()
        lines = await asyncio.to_thread(explained, parsed)
        warnings = await asyncio.to_thread(policy_warnings, parsed, judged)
        overrides = [
            {
                **each,
                "fields": [
                    (c["field"], shown_value(c["before"]), shown_value(c["after"])) for c in each["changes"]
                ],
            }
            for each in await asyncio.to_thread(overrides_of, parsed)
        ]
    except InvalidInput as error:  # a newer gate has stored it
        problem = str(error)
    return visit.show(
        "policy.html",
        stored=stored,
        lines=lines,
        warnings=warnings,
        overrides=overrides,
        problem=problem,
        admin=visit.may(Role.ADMIN),
    )


async def history(visit: Visit) -> Response:
    """Every version, newest first, with what it changed."""
    asked = visit.request.query_params.get("before", "")
    found = await visit.call(
        visit.operator.ListPolicies,
        # One more than is shown, because the oldest is compared with the version before it.
        operator_pb2.ListPoliciesRequest(limit=_PAGE + 1, before_version=version_of(asked) if asked else 0),
    )
    versions = list(found.policies)
    current = versions[0].version if versions and not asked else (await stored_version(visit)).version
    rows = [
        (one, _changed(versions[index + 1], one) if index + 1 < len(versions) else None)
        for index, one in enumerate(versions[:_PAGE])
    ]
    more = str(versions[_PAGE - 1].version) if len(versions) > _PAGE else ""
    return visit.show("policy_history.html", rows=rows, before=more, current=current)


async def version(visit: Visit) -> Response:
    """One version: what going back to it changes, and the form that does so."""
    number = version_of(visit.request.path_params["version"])
    stored, current = await stored_version(visit, number), await stored_version(visit)
    change, problem = None, ""
    try:
        before, after = [await asyncio.to_thread(parse_policy, each.json) for each in (current, stored)]
        judged = await visit.gate.model_swap.judged()
        change = await asyncio.to_thread(change_of, before, after, judged)
    except GateError as error:
        if isinstance(error, NotFound):
            raise
        problem = str(error)
    return visit.show(
        "policy_version.html",
        stored=stored,
        current=current,
        change=change,
        problem=problem,
        json=stored.json,
        expected=current.version,
        admin=visit.may(Role.ADMIN),
    )


def _changed(older: operator_pb2.Policy, newer: operator_pb2.Policy) -> list[str] | None:
    """Names of the fields that a version changed. None where one of the two is no JSON object."""
    try:
        before, after = json.loads(older.json), json.loads(newer.json)
        return [str(each["field"]) for each in changed_fields(before, after)]
    except (ValueError, RecursionError, AttributeError):
        return None
