"""All commands together. A command's module is imported when the command is used."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from edge import __version__

COMMANDS: Final = {
    "serve": "Run the gate: gRPC for ingest servers and operators, HTTP for hooks and metrics.",
    "demo": "Show the whole job: a real RTMP publish is admitted, watched, judged, cut and refused "
    "afterwards.",
    "replay": "Judge recorded files as if they were live, as fast as the machine allows: their video, and "
    "their audio where the pack has an audio model. Audio alone is judged as well.",
    "tune": "Propose thresholds for your own footage, and measure them.",
    "report": "Count streams, flags, cuts, overturned decisions, times, blocks and appeals of a period.",
    "check-config": "Check a file without starting anything. Print the effective values, defaults included.",
    "ingest": "Run the reference ingest: an RTMP server that asks the gate about every publisher.",
    "bank": "Make, fill, check and export the banks of known footage that live streams are matched against.",
    "crisis": "The time of an attack: a stricter policy for the fleet, and a bank that people fill. It ends "
    "by itself.",
    "incident": "Review what the gate flagged and cut. Claim an incident, look at it, then confirm or "
    "overturn it.",
    "stream": "See what is live on a gate, and cut a stream.",
    "top": "Watch the live streams of a gate on the terminal, those at risk first, and cut them.",
    "appeal": "Broadcasters' objections to blocks: file, list, decide. Reviewing the incident decides them, "
    "too.",
    "strike": "List, give and pardon strikes. The policy's ladder turns strikes into blocks. Strikes lapse.",
    "block": "List, add, lift and confirm blocks on a running gate. A manual block cuts running streams.",
    "model": "Check and evaluate detector models; replace the one of a running gate.",
    "policy": "What operators tune. Each change is a new version, in force at once on every gate of the "
    "ledger, running streams included.",
    "audit": "The record of every decision: verify it, export it. Reads the ledger itself, beside a running "
    "gate or without one, and writes nothing.",
    "webhook": "Signed events to the platform (Standard Webhooks). Settings: webhook.url, webhook.secret.",
}
"""In the order of ``--help``, each with the first paragraph of its own help, so that a list imports none. The
module of the same name has an ``app`` or a function of that name."""


class _LazyGroup(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        loaded, self.commands = (
            self.commands,
            {name: TyperCommand(name, help=said) for name, said in COMMANDS.items()},
        )
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = loaded

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _command(cmd_name)
        return super().get_command(ctx, cmd_name)


def _command(name: str) -> Any:
    attribute = name.replace("-", "_")
    module = import_module(f"edge.cli.{attribute}")
    if hasattr(module, "app"):
        command: Any = typer.main.get_group(module.app)
        command.name = name
        return command
    alone = typer.Typer(rich_markup_mode="markdown", add_completion=False)
    alone.command(name)(getattr(module, attribute))
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=_LazyGroup,
    rich_markup_mode="markdown",
    name="edge-gate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="The gate beside live-stream ingest: admits, watches, blocks and cuts in a fixed latency budget.",
    epilog="Start with `edge-gate demo`. Every command has --help and --json.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-gate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version
