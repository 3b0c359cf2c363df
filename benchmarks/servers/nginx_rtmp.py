"""A real nginx with the shipped configuration, on free loopback ports."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Self

from benchmarks.servers.server_process import ServerProcess

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "nginx-rtmp" / "nginx.conf"
START_S = 10.0


def available() -> bool:
    """Returns whether nginx with its RTMP module is installed, and ffmpeg to publish to it."""
    return bool(shutil.which("nginx") and shutil.which("ffmpeg")) and MODULE.is_file()


class NginxRtmp(ServerProcess):
    """nginx in the foreground under ``directory``. ``ports`` are known before it starts.

    ``hooks`` is host:port of the gate's hooks. ``secret`` is appended to the hook URLs.
    """

    def __init__(self, directory: Path, *, workers: int = 1) -> None:
        super().__init__(directory)
        self._workers = workers

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/control"

    @property
    def stat_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/stat"

    def start(self, hooks: str, secret: str | None = None) -> Self:
        """Starts with the shipped file, its ports replaced. Raises AssertionError with nginx's output."""
        self._directory.mkdir(parents=True, exist_ok=True)
        conf = self._directory / "nginx.conf"
        conf.write_text(self._configuration(hooks, secret))
        self._run(["nginx", "-p", str(self._directory), "-c", str(conf)], self.stat_url, START_S)
        return self

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


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
