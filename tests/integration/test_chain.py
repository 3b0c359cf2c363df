"""The platform's own hook before the gate's, with a real nginx-rtmp and real ffmpeg publishers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from benchmarks.servers.nginx_rtmp import NginxRtmp, available
from benchmarks.servers.publisher import Publisher
from edge.gate_process import GateProcess
from edge.servers.nginx_rtmp.stat_page import parse_stat
from tests.conftest import require
from tests.running_gate import block, metrics

pytestmark = pytest.mark.integration
PATIENCE_S = 90.0


class Platform(BaseHTTPRequestHandler):
    """A platform hook that knows one account and renames its streams to unguessable names."""

    asked: list[str]

    def do_POST(self) -> None:
        fields = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        [call] = fields["call"]
        self.asked.append(call)
        known = fields.get("user") == ["u42"]
        self.send_response(302 if known and call == "publish" else 200 if known else 401)
        if known and call == "publish":
            self.send_header("Location", "hidden-name")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def platform() -> Iterator[ThreadingHTTPServer]:
    Platform.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxRtmp]:
    require(available(), "nginx with libnginx-mod-rtmp, or ffmpeg,")
    with NginxRtmp(tmp_path / "nginx") as server:
        yield server


def test_the_platform_refuses_and_renames_and_the_gate_watches_and_cuts_the_new_name(
    nginx: NginxRtmp, platform: ThreadingHTTPServer, tmp_path: Path
) -> None:
    config = f"""
[workers]
count = 1
[nginx_rtmp]
control_url = "{nginx.control_url}"
stat_url = "{nginx.stat_url}"
pull_url = "{nginx.pull_url}"
pull_wait_ms = 5000
upstream_url = "http://127.0.0.1:{platform.server_port}/auth"
"""
    with GateProcess(tmp_path / "gate", config=config) as gate:
        nginx.start(gate.http)
        with Publisher(nginx.url("show", "user=stranger")) as stranger:
            assert stranger.wait(PATIENCE_S) != 0
        assert "edge_admissions_total{" not in metrics(gate)

        with Publisher(nginx.url("show", "user=u42")) as publisher:
            until(lambda: publishes(nginx, "hidden-name"))
            until(lambda: "watching" in gate.log())
            block(gate, "u42")
            assert publisher.wait(PATIENCE_S) != 0
        until(lambda: "publish_done" in Platform.asked)
        until(lambda: "edge_streams 0.0" in metrics(gate))
        with Publisher(nginx.url("show", "user=u42")) as again:
            assert again.wait(PATIENCE_S) != 0
        assert 'edge_admissions_total{reason="blocked"} 1.0' in metrics(gate)


def publishes(nginx: NginxRtmp, name: str) -> bool:
    stat = parse_stat(httpx.get(nginx.stat_url, trust_env=False).content)
    return stat is not None and any(c.name == name and c.publishing for c in stat.clients)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
