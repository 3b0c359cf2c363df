"""Runs a gate in its own process, for the demo, benchmarks and tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from edge.errors import ConfigError

STOP_S = 60.0
ENFORCING: Final[Mapping[str, Any]] = {"mode": "enforce"}
"""Fields of a first policy that acts on what the detector says, too."""
_LAST_WORDS = 8000


class GateProcess:
    """``edge-gate serve`` on free loopback ports. Drains it at the end.

    ``config`` holds TOML settings, ``http`` the address for hooks, ``environment`` further variables,
    ``policy`` the fields in which its first policy differs from the default: here it acts on what the
    detector says. Raises ConfigError with the gate's own message if it does not start.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        config: str = "",
        listen: str = "127.0.0.1:0",
        http: str = "127.0.0.1:0",
        environment: Mapping[str, str] | None = None,
        policy: Mapping[str, Any] = ENFORCING,
    ) -> None:
        self._data_dir = data_dir
        self._listen = listen
        self._http = http
        self._environment = {**os.environ, **(environment or {})}
        data_dir.mkdir(parents=True, exist_ok=True)
        if policy:
            first = data_dir / "first-policy.json"
            first.write_text(json.dumps(dict(policy)), encoding="utf-8")
            self._environment.setdefault("EDGE_FIRST_POLICY", str(first))
        self._config = data_dir / "edge.toml"
        self._config.write_text(config, encoding="utf-8")
        self.ready: dict[str, Any] = {}

    @property
    def grpc(self) -> str:
        return str(self.ready["grpc"])

    @property
    def http(self) -> str:
        return str(self.ready["http"])

    @property
    def tokens(self) -> Path:
        return Path(self.ready["operator_tokens"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        self._log = (self._data_dir / "gate.log").open("ab")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "edge.cli",
                "serve",
                "--config",
                str(self._config),
                "--listen",
                self._listen,
                "--http",
                self._http,
                "--data-dir",
                str(self._data_dir),
                "--json",
            ],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self._environment,
        )
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
        except BaseException:  # Ctrl-C during the start must not leave it running
            self.stop()
            self._log.close()
            raise
        said: dict[str, Any] = json.loads(line) if line else {}
        if said.get("event") != "ready":
            code = self._process.wait()
            self._log.close()
            raise ConfigError(said.get("error") or f"exit code {code}: {self.log()[-2000:]}")
        self.ready = said
        return self

    def log(self) -> str:
        """The gate's stderr so far."""
        return (self._data_dir / "gate.log").read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Sends SIGKILL, like a crash of the machine."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Sends SIGTERM. Returns the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.close()
        if error is not None:
            sys.stderr.write(f"the gate's last words:\n{self.log()[-_LAST_WORDS:]}\n")
