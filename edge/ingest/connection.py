"""A TCP connection that keeps everything that the peer sent before it left.

asyncio's own streams discard their buffer when the connection is reset. A publisher that closes before it
has read every acknowledgement causes such a reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_MAX_BUFFERED_BYTES = 512 * 1024
_SHORT_READ_BYTES = 64 * 1024


class Connection(asyncio.Protocol):
    """One connection. It reads at most about half a megabyte ahead of its reader."""

    def __init__(
        self,
        on_connect: Callable[[Connection], None] | None = None,
        on_lost: Callable[[Connection], None] | None = None,
    ) -> None:
        self._on_connect = on_connect
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._data = bytearray()
        self._paused = False
        self._news = asyncio.Event()
        self._lost = asyncio.Event()
        self._ended = False
        self._short_read = True

    @property
    def peer(self) -> str:
        """The peer's address without port."""
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if name else ""

    @property
    def idle(self) -> bool:
        """Whether all data that arrived has been read. Then a write cannot lose any."""
        return self._short_read and not self._data

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    async def read(self) -> bytes:
        """Returns all data received so far. Empty once the connection has ended, however it ended."""
        while not self._data:
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        data = bytes(self._data)
        self._data.clear()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def close(self, timeout_s: float) -> None:
        """Sends the rest and closes. Aborts after ``timeout_s``. Returns when the socket is closed."""
        self._transport.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self._lost.wait()
        except TimeoutError:
            self._transport.abort()
            await self._lost.wait()

    def abort(self) -> None:
        self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._on_connect is not None:
            self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._short_read = len(data) < _SHORT_READ_BYTES
        if len(self._data) > _MAX_BUFFERED_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self._news.set()
        self._lost.set()
        if self._on_lost is not None:
            self._on_lost(self)

    def eof_received(self) -> bool:
        self._ended = True
        self._news.set()
        return True  # a peer that closed only its own side still gets the rest
