"""Ingest servers of the ``cut`` benchmark: how each is started, published to and played."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import av

from benchmarks.servers import nginx_rtmp, node_media_server
from benchmarks.servers.nginx_rtmp import NginxRtmp
from benchmarks.servers.node_media_server import NodeMediaServer
from edge.errors import NotFound
from edge.gate_process import GateProcess
from edge.ingest import IngestSettings, ReferenceIngest

RELAY_MODES = ("direct", "hold_back")
SERVERS = ("reference", "nginx-rtmp", "node-media-server")
_OPEN_S, _SILENT_S = 20.0, 1.0
_SMALL_PROBE = {"analyzeduration": "1", "probesize": "32"}

NewestPts = Callable[[], int]
"""Returns the newest presentation time that viewers got, in milliseconds; -1 for none."""


class Server(Protocol):
    """An ingest server with viewers."""

    modes: tuple[str, ...]
    asks_first: bool
    """Whether it waits for the gate's answer before it accepts the publisher."""

    def config(self) -> str:
        """Returns the gate's settings for it, as TOML."""
        ...

    async def start(self, gate: GateProcess, stack: AsyncExitStack) -> None:
        """Starts it beside the gate; ``stack`` ends it."""
        ...

    def url(self, name: str, mode: str) -> str:
        """Returns the URL at which the broadcaster ``name`` publishes the stream ``name``."""
        ...

    def watched(self, name: str, mode: str) -> AbstractAsyncContextManager[NewestPts]:
        """Lets viewers watch the stream inside the context."""
        ...


def server_of(kind: str, directory: Path, workers: int) -> Server:
    """Returns the server of a kind. Raises NotFound when it is not installed."""
    if kind == "nginx-rtmp":
        if not nginx_rtmp.available():
            raise NotFound("server", "nginx with libnginx-mod-rtmp (and ffmpeg)")
        return Nginx(directory, workers)
    if kind == "node-media-server":
        if not node_media_server.available():
            raise NotFound("server", "node with npm (and ffmpeg)")
        return NodeMedia(directory)
    return Reference(directory)


class Reference:
    """Two reference ingests on one gate. One relays media at once, the other with hold-back."""

    modes: tuple[str, ...] = RELAY_MODES
    asks_first = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ingests: dict[str, ReferenceIngest] = {}

    def config(self) -> str:
        return ""

    async def start(self, gate: GateProcess, stack: AsyncExitStack) -> None:
        for mode in self.modes:
            relay = str(self._directory / mode / "{name}.flv")
            settings = IngestSettings(
                port=0, gate=gate.grpc, relay=relay, hold_back=mode == "hold_back", trust_user=True
            )
            self._ingests[mode] = ReferenceIngest(settings)
            await self._ingests[mode].start()
            stack.push_async_callback(self._ingests[mode].stop)

    def url(self, name: str, mode: str) -> str:
        return f"rtmp://127.0.0.1:{self._ingests[mode].port}/live/{name}?user={name}"

    @asynccontextmanager
    async def watched(self, name: str, mode: str) -> AsyncIterator[NewestPts]:
        yield lambda: _newest_pts_ms(self._directory / mode / f"{name}.flv")


class Nginx:
    """nginx-rtmp with the shipped configuration and one viewer. It has no hold-back."""

    modes: tuple[str, ...] = ("direct",)
    asks_first = True

    def __init__(self, directory: Path, workers: int) -> None:
        self._nginx = NginxRtmp(directory / "nginx", workers=workers)

    def config(self) -> str:
        return (
            f'[nginx_rtmp]\ntrust_broadcaster = true\ncontrol_url = "{self._nginx.control_url}"\n'
            f'stat_url = "{self._nginx.stat_url}"\npull_url = "{self._nginx.pull_url}"\n'
        )

    async def start(self, gate: GateProcess, stack: AsyncExitStack) -> None:
        stack.enter_context(self._nginx)
        await asyncio.to_thread(self._nginx.start, gate.http)

    def url(self, name: str, mode: str) -> str:
        return self._nginx.url(name, f"user={name}")

    def watched(self, name: str, mode: str) -> AbstractAsyncContextManager[NewestPts]:
        return _viewer(self._nginx.url(name))


class NodeMedia:
    """Node-Media-Server with the shipped files and one viewer. It admits before it asks."""

    modes: tuple[str, ...] = ("direct",)
    asks_first = False

    def __init__(self, directory: Path) -> None:
        self._server = NodeMediaServer(directory / "node-media-server")

    def config(self) -> str:
        return (
            f'[node_media_server]\ntrust_broadcaster = true\napi_url = "{self._server.api_url}"\n'
            f'jwt_secret = "{self._server.jwt_secret}"\npull_url = "{self._server.pull_url}"\n'
        )

    async def start(self, gate: GateProcess, stack: AsyncExitStack) -> None:
        stack.enter_context(self._server)
        await asyncio.to_thread(self._server.start, gate.http)

    def url(self, name: str, mode: str) -> str:
        return self._server.url(name, f"user={name}")

    def watched(self, name: str, mode: str) -> AbstractAsyncContextManager[NewestPts]:
        return _viewer(self._server.url(name))


@asynccontextmanager
async def _viewer(url: str) -> AsyncIterator[NewestPts]:
    """Plays the stream in a thread of its own, which ends a second after the media."""
    newest = -1.0

    def play() -> None:
        nonlocal newest
        try:
            with av.open(url, options=_SMALL_PROBE, timeout=(_OPEN_S, _SILENT_S)) as viewer:
                for packet in viewer.demux(video=0):
                    if packet.pts is not None and packet.time_base is not None:
                        newest = max(newest, float(packet.pts * packet.time_base) * 1000)
        except (av.error.FFmpegError, OSError):
            pass  # ended by the server or the time-out

    thread = threading.Thread(target=play, name="viewer", daemon=True)
    thread.start()
    yield lambda: round(newest)


def _newest_pts_ms(path: Path) -> int:
    """Returns the newest presentation time in a relayed file; -1 when nothing was relayed."""
    if not path.is_file():
        return -1
    with av.open(str(path)) as container:
        stamps = [p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None and p.time_base]
    return round(max(stamps, default=-1) * 1000)
