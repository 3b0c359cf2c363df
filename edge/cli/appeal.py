"""``edge-gate appeal``: files, lists and decides appeals against blocks."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from edge.api.auth import Role
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, when
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Broadcasters' objections to blocks: file, list, decide. Reviewing the incident decides them, too.",
)
_STATES = {
    "open": operator_pb2.APPEAL_STATE_OPEN,
    "granted": operator_pb2.APPEAL_STATE_GRANTED,
    "denied": operator_pb2.APPEAL_STATE_DENIED,
}
_WORDS = {number: word for word, number in _STATES.items()}


def as_dict(appeal: operator_pb2.Appeal) -> dict[str, Any]:
    return {
        "id": appeal.id,
        "incident_id": appeal.incident_id or None,
        "block_id": appeal.block_id or None,
        "broadcaster": appeal.broadcaster or None,
        "app": appeal.app or None,
        "text": appeal.text,
        "filed_wall_ms": appeal.filed_wall_ms,
        "filed_by": appeal.filed_by,
        "state": _WORDS.get(appeal.state, "unknown"),
        "decided_wall_ms": appeal.decided_wall_ms or None,
        "decided_by": appeal.decided_by or None,
        "decision_reason": appeal.decision_reason or None,
    }


@app.command("file")
@reports_errors
@asks_gate
def file_appeal(
    text: Annotated[
        str, typer.Argument(help="What the broadcaster says, at most 4 KiB; - reads it from stdin.")
    ],
    incident: Annotated[str, typer.Option(help="Incident that it is against.")] = "",
    block: Annotated[str, typer.Option(help="Block that it is against, as the refusal named it.")] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """File an appeal for a broadcaster, against an incident or a block."""
    if text == "-":
        text = sys.stdin.read(64 * 1024)
    request = operator_pb2.FileAppealRequest(incident_id=incident, block_id=block, text=text)
    with connection.operator(Role.PLATFORM) as (stub, metadata):
        appeal = stub.FileAppeal(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    _show(appeal, as_json, f"filed as {appeal.id}")


@app.command("list")
@reports_errors
@asks_gate
def list_appeals(
    state: Annotated[str, typer.Option(help="open, granted or denied; empty: all.")] = "",
    broadcaster: Annotated[str, typer.Option(help="Only of this broadcaster.")] = "",
    incident: Annotated[str, typer.Option(help="Only against this incident.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List appeals, newest first."""
    if state and state not in _STATES:
        raise InvalidInput("--state", f"{state!r} is none of {', '.join(_STATES)}")
    request = operator_pb2.ListAppealsRequest(broadcaster=broadcaster, incident_id=incident, limit=limit)
    if state:
        request.state = _STATES[state]
    with connection.operator(Role.VIEWER) as (stub, metadata):
        appeals = stub.ListAppeals(request, metadata=metadata, timeout=CALL_TIMEOUT_S).appeals
    if as_json:
        print_json([as_dict(appeal) for appeal in appeals])
        return
    print_table(
        ("id", "state", "broadcaster", "against", "filed (UTC)", "text", "decided by"),
        (
            (
                appeal.id,
                _WORDS.get(appeal.state, "unknown"),
                appeal.broadcaster,
                appeal.incident_id or appeal.block_id,
                when(appeal.filed_wall_ms),
                appeal.text,
                appeal.decided_by,
            )
            for appeal in appeals
        ),
        "No appeals.",
    )


@app.command()
@reports_errors
@asks_gate
def decide(
    appeal_id: Annotated[str, typer.Argument(help="As `appeal list` shows it.")],
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    grant: Annotated[bool, typer.Option("--grant/--deny", help="Whether live access is given back.")],
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Decide an appeal. A grant overturns the incident or lifts the block. A denial confirms it."""
    request = operator_pb2.DecideAppealRequest(appeal_id=appeal_id, grant=grant, reason=reason)
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        appeal = stub.DecideAppeal(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    word = _WORDS.get(appeal.state, "unknown")
    _show(appeal, as_json, f"{appeal.id} is {word if word != 'open' else 'open: a second person is needed'}")


def _show(appeal: operator_pb2.Appeal, as_json: bool, line: str) -> None:
    if as_json:
        print_json(as_dict(appeal))
    else:
        print_line(line)
