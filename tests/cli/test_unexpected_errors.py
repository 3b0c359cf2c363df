"""No traceback reaches a user, whatever goes wrong in whichever command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup

from edge.cli import TRACEBACK, main
from edge.cli.app import app


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*path, name))
    else:
        yield path


COMMANDS = tuple(leaves(typer.main.get_command(app)))


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: TyperCommand, *given: Any, **named: Any) -> Any:
        raise LookupError("[/x]31\x1b[2J is not a valid Type\nline 2 " + "x" * 10_000)

    monkeypatch.setattr(TyperCommand, "make_context", broken)


def ended(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["edge-gate", *command])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.usefixtures("fault")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_fault_is_one_line_and_an_exit_code(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(COMMANDS) > 40
    assert ended(command, monkeypatch) == 70
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) <= 2
    assert said.err.startswith("error: unexpected LookupError: [/x]31")
    assert f"{TRACEBACK}=1" in said.err
    assert "\x1b" not in said.err
    assert ended((*command, "--json"), monkeypatch) == 70
    assert "unexpected LookupError" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.usefixtures("fault")
def test_the_traceback_is_there_for_whoever_wants_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TRACEBACK, "1")
    assert ended(("demo",), monkeypatch) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err
