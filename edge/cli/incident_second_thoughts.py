"""``edge-gate incident comment`` and ``undo``: what people say of an incident, and take back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge.api.auth import Role
from edge.cli.incident_values import as_dict
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, reports_errors
from edge.contract.gen import operator_pb2

IdArgument = Annotated[str, typer.Argument(help="Id of the incident, from `incident list`.")]


@reports_errors
@asks_gate
def comment(
    incident_id: IdArgument,
    text: Annotated[str, typer.Argument(help="What you say of it, at most 2000 bytes.")],
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Comment on an incident, for the people who review. `incident show` has the comments."""
    request = operator_pb2.CommentIncidentRequest(incident_id=incident_id, text=text)
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        made = stub.CommentIncident(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        print_json(comment_dict(made))
    else:
        print_line(f"{made.id} is on {incident_id}")


@reports_errors
@asks_gate
def undo(
    incident_id: IdArgument,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Take back your own last decision about an incident, within a minute (`queue.undo_ms`).

    Blocks, strikes, appeals and what became known footage are as they were before. The audit log has both.
    """
    request = operator_pb2.UndoReviewRequest(incident_id=incident_id)
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        incident = stub.UndoReview(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        print_json(as_dict(incident))
    else:
        print_line(f"the decision is undone: {incident.id} is {as_dict(incident)['state']} again")


def comment_dict(made: operator_pb2.Comment) -> dict[str, Any]:
    return {
        "id": made.id,
        "created_wall_ms": made.created_wall_ms,
        "created_by": made.created_by,
        "text": made.text,
    }
