"""``edge-gate serve``: runs the sidecar."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.output import JsonOption, print_json, print_warning, reports_errors, stderr

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML settings; see `edge-gate check-config --example`.")
]


@reports_errors
def serve(
    config: ConfigOption = None,
    listen: Annotated[
        str | None, typer.Option(help="gRPC address, host:port or unix:/path; wins over the file.")
    ] = None,
    http: Annotated[
        str | None, typer.Option(help="Hooks and metrics, host:port; wins over the file; '' for none.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Ledger, evidence, banks and tokens; wins over the file.")
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Allow a gRPC address beyond this machine without TLS: tokens and media pass in clear text.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the gate: gRPC for ingest servers and operators, HTTP for hooks and metrics.

    Listens on loopback by default. Port 0 takes any free port, and the line that the gate prints when it is
    ready names it. SIGTERM or Ctrl-C drains: the gate admits nothing more, finishes verdicts under way and
    ends with 0. It ends with 3 when it could not write decisions, as on a full disk; the log names them.
    SIGHUP reads settings, tokens, certificates and texts again.
    """
    gc.disable()  # until the gate is ready: what a start makes stays, and each collection would visit it
    from edge.config import load_settings
    from edge.policy import explain_mode
    from edge.sidecar import Ready, run_sidecar
    from edge.telemetry.logs import configure_logging

    overrides: dict[str, Any] = {}
    grpc: dict[str, Any] = {"listen": listen} if listen is not None else {}
    if insecure:
        grpc["insecure"] = True
    if grpc:
        overrides["grpc"] = grpc
    if http is not None:
        overrides["http"] = {"listen": http or None}
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    settings = load_settings(config, overrides)
    configure_logging(settings.log_level)
    for warning in settings.warnings():
        print_warning(warning)

    def announce(ready: Ready) -> None:
        if as_json:
            print_json({"event": "ready", **dataclasses.asdict(ready)})
            return
        stderr.print(f"edge-gate is ready: gRPC on {ready.grpc}, HTTP on {ready.http or 'nothing'}")
        if ready.share is not None:
            stderr.print(f"Banks are shared on {ready.share}")
        stderr.print(f"Policy version {ready.policy_version}: {explain_mode(ready.mode)}")
        if ready.tokens_created:
            stderr.print(f"A first operator token was written to {ready.operator_tokens}")

    asyncio.run(run_sidecar(settings, announce, lambda: load_settings(config, overrides)))
