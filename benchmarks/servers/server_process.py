"""A real server in a process and a folder of its own, in the foreground."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

_STOP_S = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Asks a process to end and kills it after ``patience_s``. Returns once it is gone."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class ServerProcess:
    """An RTMP server with an HTTP port. Both ports are known before it starts. ``output`` is
    what it wrote."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.rtmp_port = free_port()
        self.http_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pull_url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{{app}}/{{name}}"

    def url(self, name: str, query: str = "", app: str = "live") -> str:
        """Returns the URL to publish to over RTMP."""
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{app}/{name}" + (f"?{query}" if query else "")

    def output(self) -> str:
        """The server's output so far."""
        return self._written.read_text(errors="replace")

    def stop(self) -> None:
        if self._process is not None:
            end(self._process, _STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _written(self) -> Path:
        return self._directory / "server.out"

    def _run(
        self, command: Sequence[str], ready_url: str, start_s: float, env: Mapping[str, str] | None = None
    ) -> None:
        """Starts it and waits until ``ready_url`` answers 200. Raises AssertionError with its output."""
        with self._written.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=self._directory, env=env
            )
        deadline = time.monotonic() + start_s
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.output()
            try:
                if httpx.get(ready_url, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"{command[0]} did not answer: {self.output()}")
