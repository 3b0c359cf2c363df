"""A gate that may open few files, and strangers that take all that they get."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path

import grpc
import httpx
import pytest

from edge.contract.gen import gate_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import TIMEOUT_S, admit

FILES = 256


def flood(address: str, strangers: contextlib.ExitStack) -> None:
    host, _, port = address.rpartition(":")
    for _ in range(FILES + 50):
        stranger = strangers.enter_context(socket.socket())
        stranger.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            stranger.connect((host, int(port)))


def test_health_and_admit_answer_while_strangers_take_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh"]
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: popen([*few, *command], **options))
    with GateProcess(tmp_path, config="[workers]\ncount = 1\n") as gate, contextlib.ExitStack() as strangers:
        channel = strangers.enter_context(grpc.insecure_channel(gate.grpc))
        stub = gate_pb2_grpc.GateStub(channel)
        assert admit(stub).allowed
        flood(gate.grpc, strangers)
        flood(gate.http, strangers)
        for _ in range(3):
            assert httpx.get(f"http://{gate.http}/healthz", timeout=TIMEOUT_S).text == "ok\n"
            assert admit(stub).allowed
            time.sleep(1)
        assert len(list(Path(f"/proc/{gate.pid}/fd").iterdir())) < FILES
        log = gate.log()
    assert "Traceback" not in log
    assert len(log.splitlines()) < 60, "a few lines a second"
