"""All commands together. A command's module is imported when the command is used."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from edge import __version__

_COMMANDS: Final = (
    "serve",
    "demo",
    "replay",
    "tune",
    "report",
    "check-config",
    "ingest",
    "bank",
    "incident",
    "stream",
    "top",
    "appeal",
    "strike",
    "block",
    "model",
    "policy",
    "audit",
    "webhook",
)
"""In the order of ``--help``. The module of the same name has an ``app`` or a function of that name."""


class _LazyGroup(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
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
