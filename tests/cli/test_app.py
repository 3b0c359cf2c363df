"""Which modules a command needs before it starts."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer

from edge.cli.app import COMMANDS, app


@pytest.mark.parametrize("command", ["--help", "--version", "serve --help", "block --help"])
def test_a_command_imports_no_other_command(command: str) -> None:
    program = (
        "import sys\n"
        "from edge.cli.app import app\n"
        "try:\n"
        f"    app({command.split()!r})\n"
        "finally:\n"
        "    heavy = {'sqlalchemy', 'av', 'numpy', 'edge.cli.bank', 'edge.cli.audit'} & set(sys.modules)\n"
        "    print('imported:', sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "imported: []" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_help_of_each_begins_with(name: str) -> None:
    group: Any = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), name)
    assert " ".join(command.help.partition("\n\n")[0].split()) == COMMANDS[name]
