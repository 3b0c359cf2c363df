"""Every command that asks a gate has the same options, from one bundle."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from edge.cli.app import app
from edge.cli.operator_client import GateConnection, asks_gate
from edge.cli.output import reports_errors

OPTIONS = {field.name for field in fields(GateConnection)}


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    if not hasattr(group, "list_commands"):
        return [(" ".join(path), group)]
    context = typer.Context(group)
    return [
        found
        for name in group.list_commands(context)
        for found in commands(group.get_command(context, name), (*path, name))
    ]


ASKING = [
    (name, command)
    for name, command in commands(typer.main.get_command(app))
    if any(parameter.envvar == "EDGE_TOKENS" for parameter in command.params)
]


def test_the_bundle_is_whole_wherever_a_gate_is_asked() -> None:
    found = {name: OPTIONS - {parameter.name for parameter in command.params} for name, command in ASKING}
    assert len(found) > 25
    assert {name: missing for name, missing in found.items() if missing} == {}


def test_what_is_given_reaches_the_command(tmp_path: Path) -> None:
    got: list[tuple[GateConnection, int]] = []
    made = typer.Typer()

    @made.command()
    @reports_errors
    @asks_gate
    def ask(limit: int = 3, *, connection: GateConnection, as_json: bool = False) -> None:
        """Ask."""
        del as_json
        got.append((connection, limit))

    ca = str(tmp_path / "ca.pem")
    line = ["--gate", "a:1", "--tokens", "b", "--as", "eva", "--ca", ca, "--insecure", "--limit", "7"]
    assert CliRunner().invoke(made, line).exit_code == 0
    assert CliRunner().invoke(made, []).exit_code == 0
    assert got == [
        (GateConnection("a:1", Path("b"), "eva", Path(ca), None, True), 7),
        (GateConnection(), 3),
    ]


@pytest.mark.parametrize("name", ["EDGE_GATE", "EDGE_TOKENS", "EDGE_PERSON", "EDGE_CA", "EDGE_CERT"])
def test_every_option_but_one_may_come_from_the_environment(name: str) -> None:
    (_, command), *_ = ASKING
    assert name in {parameter.envvar for parameter in command.params}
