"""A real Node-Media-Server with the shipped configuration, on free loopback ports."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Self

from benchmarks.servers.npm_package import install_package
from benchmarks.servers.server_process import ServerProcess

PACKAGE = "node-media-server@4.4.3"
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "node-media-server"
CACHE = Path(__file__).resolve().parents[2] / ".venv" / "node-media-server"
START_S = 30.0


def available() -> bool:
    """Returns whether node and npm are installed, and ffmpeg to publish to the server."""
    return all(shutil.which(program) for program in ("node", "npm", "ffmpeg"))


def install(directory: Path = CACHE) -> Path:
    """Returns the folder that holds ``node_modules``. Raises what ``install_package`` raises."""
    return install_package(PACKAGE, directory)


class NodeMediaServer(ServerProcess):
    """The server under ``directory``. Ports are known before it starts."""

    jwt_secret = "of-the-tests-0123456789"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def flv_url(self, name: str, query: str = "", app: str = "live") -> str:
        """Returns the URL to play the stream at, or to publish it by POST, over HTTP-FLV."""
        return f"{self.api_url}/{app}/{name}.flv" + (f"?{query}" if query else "")

    def start(self, hooks: str, secret: str | None = None) -> Self:
        """Starts with the shipped files, ports and secrets replaced. Raises AssertionError with
        its output."""
        modules = install() / "node_modules"
        self._directory.mkdir(parents=True, exist_ok=True)
        config = json.loads((SHIPPED / "config.json").read_text())
        config["bind"] = "127.0.0.1"
        config["notify"]["url"] = config["notify"]["url"].replace("127.0.0.1:8085", hooks) + (
            "" if secret is None else f"?secret={secret}"
        )
        config["auth"]["jwt"]["secret"] = self.jwt_secret
        config["rtmp"]["port"], config["http"]["port"] = self.rtmp_port, self.http_port
        config["store"]["path"] = str(self._directory / "data")
        path = self._directory / "config.json"
        path.write_text(json.dumps(config))
        command = ["node", str(SHIPPED / "server.js"), str(path)]
        env = {**os.environ, "NODE_PATH": str(modules)}
        self._run(command, f"{self.api_url}/api/v1/health", START_S, env)
        return self
