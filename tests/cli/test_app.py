"""Which modules a command needs before it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["--version", "serve --help", "block --help"])
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
