"""``edge-gate ingest``: runs the reference ingest server."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.cli.output import JsonOption, print_error, print_json, print_line, reports_errors, stderr
from edge.errors import ConfigError
from edge.printable import printable

if TYPE_CHECKING:
    from edge.ingest import ReferenceIngest

app = typer.Typer(rich_markup_mode="markdown", invoke_without_command=True)


@app.callback()
@reports_errors
def ingest(
    context: typer.Context,
    listen: Annotated[str, typer.Option(help="Address for RTMP publishers, host:port; port 0 takes any.")] = (
        "127.0.0.1:1935"
    ),
    gate: Annotated[str, typer.Option(help="The gate, host:port or unix:/path.")] = "127.0.0.1:50051",
    relay: Annotated[
        str | None,
        typer.Option(
            help="Relay media to rtmp://… or an FLV file. {app}, {name} and {stream_id} are filled in."
        ),
    ] = None,
    hold_back: Annotated[
        bool, typer.Option("--hold-back", help="Relay only media that the gate has judged and will not cut.")
    ] = False,
    hold_back_max_ms: Annotated[int, typer.Option(help="Longest hold-back, milliseconds.")] = 8000,
    on_gate_down_admission: Annotated[
        str, typer.Option(help="Publishes while the gate does not answer: allow or deny.")
    ] = "deny",
    on_gate_down_stream: Annotated[
        str, typer.Option(help="Running streams that the gate cannot watch in time: allow or deny.")
    ] = "allow",
    on_no_video: Annotated[
        str, typer.Option(help="Streams without video for 10 s, which nobody watches: allow or deny.")
    ] = "deny",
    gate_ca: Annotated[Path | None, typer.Option(help="CA file of the gate's certificate.")] = None,
    gate_cert: Annotated[Path | None, typer.Option(help="Client certificate for the gate.")] = None,
    gate_key: Annotated[Path | None, typer.Option(help="Private key of the client certificate.")] = None,
    gate_token: Annotated[
        Path | None,
        typer.Option(help="File with a token of the role `ingest`, for a gate on another machine."),
    ] = None,
    token_secret: Annotated[
        Path | None,
        typer.Option(help="File with the secret of publish tokens. Publishers then need one."),
    ] = None,
    upstream_url: Annotated[
        str | None,
        typer.Option(
            help="Your platform's own hook. It must answer 2xx to each publish, before the gate is asked."
        ),
    ] = None,
    trust_user: Annotated[
        bool,
        typer.Option(
            "--trust-user", help="Believe the account in the URL, because something else checks it."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the reference ingest: an RTMP server that asks the gate about every publisher.

    Say what checks publishers: --token-secret, --upstream-url or --trust-user. Publish to
    rtmp://HOST:PORT/APP/NAME?user=ACCOUNT&key=SECRET. With --token-secret publish to
    rtmp://HOST:PORT/APP/NAME?token=TOKEN with a token of `edge-gate ingest token`. Each event prints one
    line. Ctrl-C or SIGTERM closes every publisher and ends the server. SIGHUP reads the secret again.
    """
    if context.invoked_subcommand is not None:
        return
    from edge.ingest.settings import ingest_settings

    host, _, port = listen.rpartition(":")
    values: dict[str, Any] = {
        "host": host.strip("[]"),
        "port": port,
        "gate": gate,
        "relay": relay,
        "hold_back": hold_back,
        "hold_back_max_ms": hold_back_max_ms,
        "on_gate_down_admission": on_gate_down_admission,
        "on_gate_down_stream": on_gate_down_stream,
        "on_no_video": on_no_video,
        "gate_ca": gate_ca,
        "gate_cert": gate_cert,
        "gate_key": gate_key,
        "gate_token": gate_token,
        "token_secret": token_secret,
        "upstream_url": upstream_url,
        "trust_user": trust_user,
    }
    if token_secret is None and upstream_url is None and not trust_user:
        raise ConfigError(
            "nothing checks who publishes here, and anybody could get any account blocked: give "
            "--token-secret FILE (publish tokens of `edge-gate ingest token`), --upstream-url URL (your "
            "platform's own hook), or --trust-user where something else checks the name"
        )
    settings = ingest_settings(**values)
    asyncio.run(_run(settings, as_json))


@app.command()
@reports_errors
def token(
    user: Annotated[str, typer.Argument(help="The account that may publish.")],
    secret: Annotated[Path, typer.Option(help="File with the secret, the server's --token-secret.")],
    duration: Annotated[str, typer.Option("--for", help="90m, 24h, 30d …")] = "24h",
    app_name: Annotated[str, typer.Option("--app", help="Only for this application.")] = "",
    name: Annotated[str, typer.Option(help="Only for this stream name.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a publish token. Whoever presents it in time is this account."""
    from edge.cli.block import parse_duration_ms
    from edge.ingest.publish_token import read_publish_tokens

    lifetime_s = parse_duration_ms(duration) // 1000
    now_s = time.time_ns() // 1_000_000_000
    made = read_publish_tokens(secret).issue(user, lifetime_s, now_s, app=app_name, name=name)
    if as_json:
        print_json({"token": made, "user": user, "until_wall_ms": (now_s + lifetime_s) * 1000})
    else:
        print_line(made)


def _reload(server: ReferenceIngest, as_json: bool) -> None:
    try:
        server.read_tokens()
    except ConfigError as error:
        if as_json:
            print_json({"event": "not_reloaded", "error": str(error)})
        else:
            print_error(error)
        return
    if as_json:
        print_json({"event": "reloaded"})
    else:
        stderr.print("the secret of publish tokens was read again")


async def _run(settings: Any, as_json: bool) -> None:
    from edge.ingest import Event, ReferenceIngest
    from edge.ingest.event_format import as_record, as_text
    from edge.telemetry.line_limit import LineLimit

    limit = LineLimit()

    def observe(event: Event) -> None:
        if as_json:
            print_json(as_record(event))
        elif (text := as_text(event)) is not None:
            left_out = limit.left_out_before(type(event).__name__)
            if left_out is not None:
                stderr.print(printable(f"{text} ({left_out} lines left out before)" if left_out else text))

    server = ReferenceIngest(settings, observe)
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(f"listen: {settings.host}:{settings.port}: {error.strerror}") from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, server, as_json)
    address = f"{settings.host}:{server.port}"
    if as_json:
        print_json({"event": "ready", "rtmp": address, "gate": settings.gate})
    else:
        stderr.print(f"reference ingest is ready: RTMP on {address}, gate at {settings.gate}")
    try:
        await stop.wait()
    finally:
        await server.stop()
    if as_json:
        print_json({"event": "stopped", "counters": dict(server.counters)})
