"""``edge-gate strike``: lists, gives and pardons strikes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge.api.auth import Role
from edge.cli import block
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, when
from edge.contract.gen import operator_pb2

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="List, give and pardon strikes. The policy's ladder turns strikes into blocks. Strikes lapse.",
)


def as_dict(strike: operator_pb2.Strike) -> dict[str, Any]:
    return {
        "id": strike.id,
        "broadcaster": strike.broadcaster,
        "app": strike.app or None,
        "category": strike.category or None,
        "severity": "severe" if strike.severity == operator_pb2.SEVERITY_SEVERE else "normal",
        "incident_id": strike.incident_id or None,
        "created_wall_ms": strike.created_wall_ms,
        "created_by": strike.created_by,
        "reason": strike.reason,
        "review_by_wall_ms": strike.review_by_wall_ms or None,
        "pardoned_wall_ms": strike.pardoned_wall_ms or None,
        "pardoned_by": strike.pardoned_by or None,
        "pardon_reason": strike.pardon_reason or None,
        "part_of_strike_id": strike.part_of_strike_id or None,
        "provisional": strike.provisional,
        "pardoned": strike.pardoned,
    }


def _state_of(strike: operator_pb2.Strike) -> str:
    if strike.pardoned:
        return f"pardoned {when(strike.pardoned_wall_ms)}"
    return f"provisional until {when(strike.review_by_wall_ms)}" if strike.provisional else "counts"


@app.command("list")
@reports_errors
@asks_gate
def list_strikes(
    broadcaster: Annotated[str, typer.Option(help="Only of this broadcaster.")] = "",
    pardoned: Annotated[bool, typer.Option("--pardoned", help="Include pardoned strikes.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List strikes, newest first."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.ListStrikesRequest(
            broadcaster=broadcaster, include_pardoned=pardoned, limit=limit
        )
        strikes = stub.ListStrikes(request, metadata=metadata, timeout=CALL_TIMEOUT_S).strikes
    if as_json:
        print_json([as_dict(strike) for strike in strikes])
        return
    print_table(
        (
            "id",
            "broadcaster",
            "given (UTC)",
            "by",
            "category",
            "severity",
            "state",
        ),
        (
            (
                strike.id,
                strike.broadcaster,
                when(strike.created_wall_ms),
                strike.created_by,
                strike.category or strike.reason,
                as_dict(strike)["severity"],
                _state_of(strike),
            )
            for strike in strikes
        ),
        "No strikes.",
    )


@app.command()
@reports_errors
@asks_gate
def add(
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    broadcaster: Annotated[
        str, typer.Argument(help="Broadcaster id. Empty: the incident's broadcaster.")
    ] = "",
    incident: Annotated[
        str, typer.Option(help="Incident without a strike (a FLAG) that shows the violation.")
    ] = "",
    app_name: Annotated[str, typer.Option("--app", help="Application whose ladder applies.")] = "",
    category: Annotated[str, typer.Option(help="Category of the violation.")] = "",
    severe: Annotated[
        bool, typer.Option("--severe", help="Block permanently, whatever came before.")
    ] = False,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Give a strike. The ladder's block holds at once, and running streams are cut."""
    request = operator_pb2.AddStrikeRequest(
        broadcaster=broadcaster,
        app=app_name,
        category=category,
        severity=operator_pb2.SEVERITY_SEVERE if severe else operator_pb2.SEVERITY_NORMAL,
        reason=reason,
        incident_id=incident,
    )
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        given = stub.AddStrike(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        blocks = [block.as_dict(made) for made in given.blocks]
        print_json({"strike": as_dict(given.strike), "blocks": blocks})
        return
    print_line(f"{given.strike.broadcaster} has a strike ({given.strike.id})")
    for made in given.blocks:
        print_line(f"{made.subject_kind} {made.subject} is blocked until {block.until(made)} ({made.id})")


@app.command()
@reports_errors
@asks_gate
def pardon(
    strike_id: Annotated[str, typer.Argument(help="Id of the strike, from `strike list`.")],
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Take a strike back as if it had never happened. Its blocks are lifted, and later blocks get shorter."""
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        request = operator_pb2.PardonStrikeRequest(strike_id=strike_id, reason=reason)
        strike = stub.PardonStrike(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    if as_json:
        print_json(as_dict(strike))
    else:
        print_line(f"{strike.broadcaster}: {strike.id} is pardoned")
