"""``edge-gate stream``: lists, shows, watches and cuts live streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from edge.api.auth import Role
from edge.cli import block
from edge.cli.following import follow
from edge.cli.incident_values import ACTIONS
from edge.cli.live_table import rank_of, state_of
from edge.cli.operator_client import CALL_TIMEOUT_S, GateConnection, asks_gate
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors, when
from edge.clock import SystemClock
from edge.contract.gen import gate_pb2, operator_pb2
from edge.errors import NotFound

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="See what is live on a gate, and cut a stream.",
)
_PAGE: Final = 1000
_TIERS: Final = {gate_pb2.TIER_KIND_CALM: "calm", gate_pb2.TIER_KIND_ALERT: "alert"}

IdArgument = Annotated[str, typer.Argument(help="Id of the stream, from `stream list`.")]


def as_dict(stream: operator_pb2.Stream) -> dict[str, Any]:
    """Returns a live stream as plain JSON values."""
    return {
        "stream_id": stream.stream_id,
        "server": stream.server,
        "connection": stream.connection or None,
        "app": stream.app,
        "name": stream.name,
        "broadcaster": stream.broadcaster,
        "address": stream.address or None,
        "started_wall_ms": stream.started_wall_ms,
        "mode": "pull" if stream.watch_mode == gate_pb2.WATCH_MODE_PULL else "push",
        "watched": stream.watched,
        "tier": _TIERS.get(stream.tier),
        "score": stream.score,
        "action": ACTIONS.get(stream.action),
        "samples": stream.samples,
        "shed": stream.shed,
        "cleared_pts_ms": None if stream.cleared_pts_ms < 0 else stream.cleared_pts_ms,
        "cutting": stream.cutting,
        "incident_id": stream.incident_id or None,
    }


@app.command("list")
@reports_errors
@asks_gate
def list_streams(
    app_name: Annotated[str, typer.Option("--app", help="Only of this application.")] = "",
    broadcaster: Annotated[str, typer.Option(help="Only of this broadcaster.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Show this many, those at risk first.")] = 100,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """List the live streams of a gate, those at risk first, as `top` does."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        found = [
            stream
            for stream in _live(stub, metadata)
            if app_name in ("", stream.app) and broadcaster in ("", stream.broadcaster)
        ]
    found.sort(key=rank_of)
    streams = [as_dict(stream) for stream in found[:limit]]
    if as_json:
        print_json(streams)
        return
    now = SystemClock().wall_ms()
    print_table(
        ("id", "on air", "what", "score", "tier", "samples", "shed", "broadcaster", "stream"),
        (
            (
                one["stream_id"],
                _ago(now - one["started_wall_ms"]),
                state_of(stream),
                f"{one['score']:.2f}",
                one["tier"] or "",
                one["samples"],
                one["shed"],
                one["broadcaster"],
                f"{one['app']}/{one['name']}",
            )
            for stream, one in zip(found, streams, strict=False)
        ),
        "No stream is live.",
    )
    if len(found) > limit:
        print_line(f"{len(found) - limit} more: --limit shows them")


@app.command()
@reports_errors
@asks_gate
def show(
    stream_id: IdArgument,
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Show one live stream."""
    with connection.operator(Role.VIEWER) as (stub, metadata):
        stream = next((each for each in _live(stub, metadata) if each.stream_id == stream_id), None)
    if stream is None:
        raise NotFound("live stream", stream_id)
    one = as_dict(stream)
    if as_json:
        print_json(one)
        return
    for label, value in (
        ("stream", one["stream_id"]),
        ("live (UTC)", f"since {when(one['started_wall_ms'])}"),
        ("publish", f"{one['app']}/{one['name']} on {one['server']}, connection {one['connection']}"),
        ("broadcaster", f"{one['broadcaster']} from {one['address'] or 'an unknown address'}"),
        ("state", state_of(stream)),
        ("score", f"{one['score']:.3f}, tier {one['tier'] or 'unknown'}"),
        ("samples", f"{one['samples']} judged, {one['shed']} shed"),
        ("incident", one["incident_id"]),
    ):
        if value:
            print_line(f"{label:13} {value}")


@app.command()
@reports_errors
@asks_gate
def watch(
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Print each live stream that begins, changes or ends, as it comes, until Ctrl-C."""
    request = operator_pb2.WatchStreamsRequest()

    def listen() -> None:
        with connection.operator(Role.VIEWER) as (stub, metadata):
            for change in stub.WatchStreams(request, metadata=metadata):
                request.run, request.after_sequence = change.run, change.sequence
                stream = as_dict(change.stream) if change.HasField("stream") else None
                if as_json:
                    print_json(
                        {
                            "run": change.run,
                            "sequence": change.sequence,
                            "resync": change.resync,
                            "stream": stream,
                            "ended_stream_id": change.ended_stream_id or None,
                        }
                    )
                elif stream is not None:
                    print_line(
                        f"{stream['stream_id']}  {state_of(change.stream)} {stream['score']:.2f}  "
                        f"{stream['broadcaster']} in {stream['app']}/{stream['name']}"
                    )
                elif change.ended_stream_id:
                    print_line(f"{change.ended_stream_id}  over")

    follow(listen, lambda: request.after_sequence)


@app.command()
@reports_errors
@asks_gate
def cut(
    stream_id: IdArgument,
    reason: Annotated[str, typer.Option(help="Reason, kept on record.")],
    blocked_for: Annotated[
        str,
        typer.Option("--block", help="Also block the broadcaster: 90m, 24h, 30d or permanent."),
    ] = "",
    *,
    connection: GateConnection,
    as_json: JsonOption = False,
) -> None:
    """Cut a live stream now. Without --block its publisher may come back at once."""
    request = operator_pb2.CutStreamRequest(stream_id=stream_id, reason=reason)
    if blocked_for:
        request.block_ms = block.parse_duration_ms(blocked_for, "--block")
    with connection.operator(Role.REVIEWER) as (stub, metadata):
        answer = stub.CutStream(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    made = answer.block if answer.HasField("block") else None
    if as_json:
        print_json({"stream_id": stream_id, "block": None if made is None else block.as_dict(made)})
        return
    print_line(f"{stream_id} is being cut")
    if made is None:
        print_line("its publisher may come back at once: --block refuses it")
    else:
        print_line(f"{made.subject_kind} {made.subject} is blocked until {block.until(made)}")


def _live(stub: Any, metadata: Any) -> Iterator[operator_pb2.Stream]:
    after = ""
    while True:
        request = operator_pb2.ListStreamsRequest(limit=_PAGE, after_id=after)
        page = stub.ListStreams(request, metadata=metadata, timeout=CALL_TIMEOUT_S).streams
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].stream_id


def _ago(ms: int) -> str:
    seconds = max(0, ms) // 1000
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds % 60:02}s"
