"""``edge-gate block``: lists, adds, lifts and confirms blocks of live access."""

from __future__ import annotations

import re
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
    help="List, add, lift and confirm blocks on a running gate. A manual block cuts running streams.",
)

_DURATION = re.compile(r"(\d+)\s*(s|m|h|d)")
_MOST_DIGITS = 9
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration_ms(text: str, option: str = "--for") -> int:
    """Parses ``90m``, ``24h``, ``30d`` or ``permanent`` (0) to milliseconds."""
    if text == "permanent":
        return 0
    match = _DURATION.fullmatch(text.strip())
    if match is None or len(match[1]) > _MOST_DIGITS or int(match[1]) == 0:
        raise InvalidInput(option, f"{text!r} is not a duration such as 90m, 24h, 30d or permanent")
    return int(match[1]) * _UNIT_MS[match[2]]


def as_dict(block: operator_pb2.Block) -> dict[str, Any]:
    return {
        "id": block.id,
        "subject_kind": block.subject_kind,
        "subject": block.subject,
        "app": block.app or None,
        "reason": block.reason,
        "category": block.category or None,
        "created_wall_ms": block.created_wall_ms,
        "until_wall_ms": block.until_wall_ms,
        "incident_id": block.incident_id or None,
        "created_by": block.created_by,
        "lifted_wall_ms": block.lifted_wall_ms or None,
        "lifted_by": block.lifted_by or None,
        "lift_reason": block.lift_reason or None,
        "provisional": block.provisional,
        "full_until_wall_ms": block.full_until_wall_ms,
        "review_by_wall_ms": block.review_by_wall_ms or None,
        "strike_id": block.strike_id or None,
    }


def until(block: operator_pb2.Block) -> str:
    """Formats a block's end for people and marks a provisional block."""
    end = when(block.until_wall_ms)
    return f"{end} (provisional)" if block.provisional and not block.lifted_wall_ms else end


@app.command("list")
@reports_errors
@asks_gate
def list_blocks(
    ended: Annotated[bool, typer.Option("--ended", help="Include blocks that ended or were lifted.")] = False,
    subject: Annotated[
        str, typer.Option(help="Only of this broadcaster, key, address, network or NAME=VALUE.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List blocks, newest first."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        request = operator_pb2.ListBlocksRequest(include_ended=ended, subject=subject, limit=limit)
        blocks = stub.ListBlocks(request, metadata=metadata, timeout=CALL_TIMEOUT_S).blocks
    if as_json:
        print_json([as_dict(block) for block in blocks])
        return
    print_table(
        ("id", "subject", "app", "until (UTC)", "reason", "by", "lifted"),
        (
            (
                block.id,
                f"{block.subject_kind} {block.subject}",
                block.app or "all",
                until(block),
                block.category or block.reason,
                block.created_by,
                when(block.lifted_wall_ms),
            )
            for block in blocks
        ),
        "No blocks.",
    )


@app.command()
@reports_errors
@asks_gate
def add(
    subject: Annotated[
        str,
        typer.Argument(
            help="Broadcaster id; stream key; address or network (192.0.2.0/24); attribute (NAME=VALUE)."
        ),
    ],
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    duration: Annotated[str, typer.Option("--for", help="90m, 24h, 30d … or permanent.")] = "30d",
    kind: Annotated[str, typer.Option(help="broadcaster, stream_key, address or attribute.")] = "broadcaster",
    app_name: Annotated[str, typer.Option("--app", help="Only in this application.")] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Deny live access from now on and cut the subject's running streams."""
    request = operator_pb2.AddBlockRequest(
        subject_kind=kind,
        subject=subject,
        app=app_name,
        duration_ms=parse_duration_ms(duration),
        reason=reason,
    )
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        block = stub.AddBlock(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    _show(block, as_json, f"{block.subject} is blocked until {until(block)} ({block.id})")


@app.command()
@reports_errors
@asks_gate
def lift(
    block_id: Annotated[str, typer.Argument(help="Id of the block, from `block list`.")],
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Restore live access."""
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        request = operator_pb2.LiftBlockRequest(block_id=block_id, reason=reason)
        block = stub.LiftBlock(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    _show(block, as_json, f"{block.subject} may go live again ({block.id})")


@app.command()
@reports_errors
@asks_gate
def confirm(
    block_id: Annotated[str, typer.Argument(help="Id of the block, from `block list`.")],
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Confirm a permanent manual block as the second person, where the policy wants two."""
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        request = operator_pb2.ConfirmBlockRequest(block_id=block_id, reason=reason)
        block = stub.ConfirmBlock(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    _show(block, as_json, f"{block.subject} is blocked until {until(block)} ({block.id})")


def _show(block: operator_pb2.Block, as_json: bool, line: str) -> None:
    if as_json:
        print_json(as_dict(block))
    else:
        print_line(line)
