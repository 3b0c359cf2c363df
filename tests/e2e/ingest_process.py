"""The reference ingest as its own process, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

PATIENCE_S = 90.0


class IngestProcess:
    """``edge-gate ingest --json`` and its output lines."""

    def __init__(self, gate: str, *options: str) -> None:
        command = [sys.executable, "-m", "edge.cli", "ingest", "--listen", "127.0.0.1:0", "--trust-user"]
        command += ["--gate", gate]
        self._process = subprocess.Popen(
            [*command, *options, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._partial = b""
        self.events: list[dict[str, Any]] = []

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Waits for the first event of this kind with these fields. The time only bounds a failing test."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for line in self._lines():
                self.events.append(json.loads(line))
            for said in self.events:
                if said["event"] == event and fields.items() <= said.items():
                    return said
            assert time.monotonic() < deadline, (event, fields, self.events[-5:])
            assert self._process.poll() is None
            time.sleep(0.02)

    def _lines(self) -> list[bytes]:
        assert self._process.stdout is not None
        *lines, self._partial = (self._partial + (self._process.stdout.read() or b"")).split(b"\n")
        return lines

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def __enter__(self) -> IngestProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()
