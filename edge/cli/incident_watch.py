"""``edge-gate incident watch``: prints each change of an incident as it comes."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.api.auth import Role
from edge.cli.following import follow
from edge.cli.incident_values import as_dict
from edge.cli.operator_client import GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_warning, reports_errors, when
from edge.contract.gen import operator_pb2


@reports_errors
@asks_gate
def watch(
    category: Annotated[str, typer.Option(help="Only of this category.")] = "",
    app_name: Annotated[str, typer.Option("--app", help="Only of this application.")] = "",
    broadcaster: Annotated[str, typer.Option(help="Only of this broadcaster.")] = "",
    after: Annotated[
        int, typer.Option(min=0, help="Go on after this `sequence`, from --json. Default: from now on.")
    ] = 0,
    after_digest: Annotated[
        str, typer.Option(help="Its `digest`: shows that a database came back without its last changes.")
    ] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Print each change of an incident of the whole fleet, as it comes, until Ctrl-C.

    The command connects again after a break and goes on where it was. With --json each line is one object;
    one with `resync` means: list the incidents, because changes may have been missed.
    """
    request = operator_pb2.WatchIncidentsRequest(
        after_sequence=after,
        after_digest=after_digest,
        category=category,
        app=app_name,
        broadcaster=broadcaster,
    )

    def listen() -> None:
        with connection.operator(Role.VIEWER) as (stub, metadata):
            for change in stub.WatchIncidents(request, metadata=metadata):
                heard = request.after_sequence > 0
                request.after_sequence, request.after_digest = change.sequence, change.digest
                if as_json:
                    print_json(_as_dict(change))
                elif change.HasField("incident"):
                    print_line(_line(change))
                elif change.resync and heard:
                    print_warning("changes may have been missed: see `edge-gate incident list`")

    follow(listen, lambda: request.after_sequence)


def _as_dict(change: operator_pb2.IncidentChange) -> dict[str, object]:
    return {
        "sequence": change.sequence,
        "digest": change.digest,
        "resync": change.resync,
        "what": change.what or None,
        "by": change.by or None,
        "wall_ms": change.wall_ms or None,
        "incident": as_dict(change.incident) if change.HasField("incident") else None,
    }


def _line(change: operator_pb2.IncidentChange) -> str:
    one = as_dict(change.incident)
    shadow = "shadow " if one["shadow"] else ""
    said = f"{shadow}{one['action']} {one['category'] or one['reason']} {one['score']:.2f}"
    where = f"{one['broadcaster']} in {one['app']}/{one['name']}"
    return f"{when(change.wall_ms)}  {change.what} by {change.by}: {one['id']} {said}, {where}"
