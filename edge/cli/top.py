"""``edge-gate top``: the live streams of a gate on a terminal, and a hand on the switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from edge.api.auth import Role
from edge.cli.block import parse_duration_ms
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, reports_errors
from edge.cli.stream import list_streams
from edge.contract.gen import operator_pb2
from edge.errors import ConfigError

_HOW: Final = "edge-gate top needs the extra `top`: pip install 'edge-gate[top]'"


@reports_errors
@asks_gate
def top(
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Watch the live streams of a gate on the terminal, those at risk first, and cut them.

    `c` cuts the stream under the cursor. `b` also blocks its broadcaster. Both ask for a reason first, which
    goes on record. `/` filters by application, name or broadcaster. `q` ends.

    With --json it prints the live streams once, as `stream list` does.
    """
    if as_json:
        list_streams(limit=10_000, connection=connection, as_json=True)
        return
    try:
        from edge.cli.top_screen import TopScreen
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise ConfigError(_HOW) from None

    def listen(
        request: operator_pb2.WatchStreamsRequest,
        take: Callable[[operator_pb2.StreamChange], None],
        opened: Callable[[Any], None],
    ) -> None:
        with connection.operator(Role.VIEWER) as (stub, metadata):
            changes = stub.WatchStreams(request, metadata=metadata)
            opened(changes)
            for change in changes:
                request.run, request.after_sequence = change.run, change.sequence
                take(change)

    def cut(stream_id: str, reason: str, blocked_for: str) -> str:
        request = operator_pb2.CutStreamRequest(stream_id=stream_id, reason=reason)
        if blocked_for:
            request.block_ms = parse_duration_ms(blocked_for, "block")
        with connection.operator(Role.REVIEWER) as (
            stub,
            metadata,
        ):
            answer = stub.CutStream(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
        if not answer.HasField("block"):
            return f"{stream_id} is being cut; its publisher may come back"
        return f"{stream_id} is being cut; {answer.block.subject_kind} {answer.block.subject} is blocked"

    with connection.operator(Role.VIEWER) as (stub, metadata):
        stub.ListStreams(operator_pb2.ListStreamsRequest(limit=1), metadata=metadata, timeout=CALL_TIMEOUT_S)
    TopScreen(connection.gate, listen, cut).run()
