"""A real nginx with the shipped configuration, on free loopback ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "nginx-rtmp" / "nginx.conf"
START_S = 10.0


def available() -> bool:
    """Whether nginx with its RTMP module, and ffmpeg to publish to it, are installed."""
    return bool(shutil.which("nginx") and shutil.which("ffmpeg")) and MODULE.is_file()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NginxRtmp:
    """nginx in the foreground under ``directory``; ``ports`` are known before it starts.

    ``hooks``: host:port of the gate's hooks. ``secret``: appended to the hook URLs.
    """

    def __init__(self, directory: Path, *, workers: int = 1) -> None:
        self._directory = directory
        self._workers = workers
        self.rtmp_port = free_port()
        self.http_port = free_port()

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/control"

    @property
    def stat_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/stat"

    @property
    def pull_url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{{app}}/{{name}}"

    def url(self, name: str, query: str = "", app: str = "live") -> str:
        """Where a publisher publishes to."""
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{app}/{name}" + (f"?{query}" if query else "")

    def start(self, hooks: str, secret: str | None = None) -> Self:
        """Start with the shipped file, its ports replaced. Raises AssertionError with nginx's words."""
        self._directory.mkdir(parents=True, exist_ok=True)
        conf = self._directory / "nginx.conf"
        conf.write_text(self._configuration(hooks, secret))
        self._output = (self._directory / "nginx.out").open("wb")
        self._process = subprocess.Popen(
            ["nginx", "-p", str(self._directory), "-c", str(conf)],
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._directory / "nginx.out").read_text()
            try:
                if httpx.get(self.stat_url, trust_env=False).status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError("nginx did not answer: " + (self._directory / "nginx.out").read_text())

    def _configuration(self, hooks: str, secret: str | None) -> str:
        text = SHIPPED.read_text()
        query = "" if secret is None else f"?secret={secret}"
        for old, new in (
            ("listen 1935;", f"listen 127.0.0.1:{self.rtmp_port};"),
            ("listen 127.0.0.1:18081 ", f"listen 127.0.0.1:{self.http_port} "),
            ("127.0.0.1:8085", hooks),
            ("/on_publish;", f"/on_publish{query};"),
            ("/on_publish_done;", f"/on_publish_done{query};"),
            ("worker_processes 1;", f"worker_processes {self._workers};"),
            ("http {", "http {\n" + "".join(f"    {kind}_temp_path {kind};\n" for kind in _TEMPORARY)),
        ):
            assert old in text, f"the shipped configuration no longer has {old!r}"
            text = text.replace(old, new)
        user = "user root;\n" if os.geteuid() == 0 else ""
        return f"daemon off;\n{user}pid nginx.pid;\nerror_log error.log info;\n{text}"

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "_process"):
            self.stop()


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
