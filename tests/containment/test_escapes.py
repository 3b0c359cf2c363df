"""A contained process of each role tries to escape, and fails each time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.containment import contained_environment, lacking
from tests.conftest import require

ATTEMPTS = Path(__file__).with_name("escape_attempts.py")
ROLES = ("worker", "puller", "puller by name", "fingerprint", "replay", "tuning")
MAY = {"puller": {"connect"}, "puller by name": {"connect", "send a datagram"}}
"""What is no escape for a role."""
DUTIES = {"a thread", "memory", "its own niceness"}
MUST = {
    "worker": {"read what it may", "write a clip"},
    "puller": set(),
    "puller by name": {"resolve a name"},
    "fingerprint": {"read what it may"},
    "replay": {"read what it may"},
    "tuning": {"read what it may"},
}
"""What each role must do beside these."""


@pytest.mark.parametrize("role", ROLES)
def test_no_escape_succeeds_and_every_duty_does(role: str, tmp_path: Path) -> None:
    require(not lacking(), "a kernel with seccomp and Landlock for TCP, or libseccomp,")
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "file").write_bytes(b"x")
    (tmp_path / "writable").mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    address = ("127.0.0.1", 0)
    with (
        socket.create_server(address) as one,
        socket.create_server(address) as other,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(tmp_path / "socket"))
        unix.listen()
        ports = [str(listener.getsockname()[1]) for listener in (one, other)]
        result = subprocess.run(
            [sys.executable, str(ATTEMPTS), role, str(tmp_path), *ports],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**contained_environment(), "PYTHONPATH": os.getcwd()},
        )
    assert result.stdout, result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    escaped = {what for what, answer in said["escapes"].items() if answer == "done"}
    assert escaped == MAY.get(role, set())
    done = {what for what, answer in said["duties"].items() if answer == "done"}
    assert done == DUTIES | MUST[role], said["duties"]
    assert (tmp_path / "secret").read_bytes() == b"x"
    assert sorted(path.name for path in (tmp_path / "writable").iterdir()) == (
        ["clip"] if role == "worker" else []
    )
    assert "cannot import wave" in result.stderr
    # The process may end itself, and says where.
    assert result.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in result.stderr
