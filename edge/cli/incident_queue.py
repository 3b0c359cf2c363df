"""``edge-gate incident queue`` and ``next``: what waits for people, in order, and one's next job."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge.api.auth import Role
from edge.cli.incident_values import as_dict
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, when
from edge.contract.gen import operator_pb2

CategoryOption = Annotated[str, typer.Option(help="Only of this category.")]
AppOption = Annotated[str, typer.Option("--app", help="Only of this application.")]
TenantOption = Annotated[str, typer.Option(help="Only of this tenant.")]
SeverityOption = Annotated[str, typer.Option(help="severe or normal; empty: both.")]
LanguageOption = Annotated[
    str, typer.Option(help="Only in this language, as `queue.language` of the policy says.")
]
StateOption = Annotated[str, typer.Option(help="open, escalated or confirmed_once; empty: all.")]


@reports_errors
@asks_gate
def queue(
    category: CategoryOption = "",
    app_name: AppOption = "",
    tenant: TenantOption = "",
    severity: SeverityOption = "",
    language: LanguageOption = "",
    state: StateOption = "",
    only: Annotated[str, typer.Option(help="live, mine or free; empty: all.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List what waits for people, the most urgent first, by the policy's `queue.weights`."""
    asked = operator_pb2.ListWaitingRequest(
        filter=operator_pb2.QueueFilter(
            category=category,
            app=app_name,
            tenant=tenant,
            severity=severity,
            language=language,
            state=state,
            only=only,
        ),
        limit=limit,
    )
    with connection.operator(Role.VIEWER) as (stub, metadata):
        found = stub.ListWaiting(asked, metadata=metadata, timeout=CALL_TIMEOUT_S)
    waiting = [_as_dict(one) for one in found.waiting]
    if as_json:
        counts: dict[str, dict[str, int]] = {}
        for one in found.counts:
            counts.setdefault(one.facet, {})[one.value] = one.incidents
        print_json(
            {
                "total": found.total,
                "matching": found.matching,
                "oldest_wall_ms": found.oldest_wall_ms or None,
                "counts": counts,
                "waiting": waiting,
            }
        )
        return
    print_table(
        ("priority", "id", "opened (UTC)", "what", "score", "live", "broadcaster", "state", "claimed by"),
        (
            (
                f"{one['priority']:.0f}",
                one["incident"]["id"],
                when(one["incident"]["created_wall_ms"]),
                _what(one),
                f"{one['score']:.2f}",
                "live" if one["live"] else "",
                one["incident"]["broadcaster"],
                one["incident"]["state"],
                one["incident"]["claimed_by"] or "",
            )
            for one in waiting
        ),
        "Nothing waits.",
    )
    if found.matching > len(waiting):
        print_line(f"{found.matching - len(waiting)} more; --limit shows them")


@reports_errors
@asks_gate
def take_next(
    category: CategoryOption = "",
    app_name: AppOption = "",
    tenant: TenantOption = "",
    severity: SeverityOption = "",
    language: LanguageOption = "",
    state: StateOption = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Claim the most urgent incident that nobody has claimed and that you may decide.

    The policy says how many you may have (`queue.claims`) and for how long (`review.claim_ms`). Then others
    may claim it; it keeps its place in the queue.
    """
    asked = operator_pb2.ClaimNextRequest(
        filter=operator_pb2.QueueFilter(
            category=category,
            app=app_name,
            tenant=tenant,
            severity=severity,
            language=language,
            state=state,
        )
    )
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        incident = stub.ClaimNext(asked, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        print_json(as_dict(incident))
        return
    until = when(incident.claimed_until_wall_ms)
    what = incident.verdict.category or incident.verdict.reason
    print_line(f"{incident.id} is {incident.claimed_by}'s until {until}: {what} of {incident.broadcaster}")


def _as_dict(one: operator_pb2.WaitingIncident) -> dict[str, Any]:
    return {
        "priority": one.priority,
        "live": one.live,
        "severe": one.severe,
        "score": one.score,
        "strikes": one.strikes,
        "viewers": one.viewers,
        "tenant": one.tenant or None,
        "language": one.language or None,
        "incident": as_dict(one.incident),
    }


def _what(one: dict[str, Any]) -> str:
    incident = one["incident"]
    severe = " (severe)" if one["severe"] else ""
    return f"{incident['action']} {incident['category'] or incident['reason']}{severe}"
