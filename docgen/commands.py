"""Reference of the commands, from their `--help` texts."""

from __future__ import annotations

import typer
from typer.cli import get_docs_for_click

from edge.cli.app import app

NAME = "edge-gate"


def describe_commands() -> str:
    """Returns every command with its arguments and options."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name=NAME)
    return get_docs_for_click(obj=command, ctx=context, name=NAME, title="Commands")
