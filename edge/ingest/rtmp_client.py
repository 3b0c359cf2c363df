"""Publishes to another RTMP server, message by message, without touching the media."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from dataclasses import replace
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from edge.background import BackgroundTasks
from edge.errors import InvalidInput, PublishRejected
from edge.ingest import amf
from edge.ingest.chunks import ChunkReader, encode_message
from edge.ingest.message import Message, MessageType
from edge.ingest.rtmp import HANDSHAKE_BYTES

_CHUNK_BYTES = 60_000
_MAX_ANSWER_BYTES = 256 * 1024
_CHUNK_STREAMS = {MessageType.AUDIO: 4, MessageType.VIDEO: 6}


class PublishPlace(NamedTuple):
    """Where an RTMP URL publishes to."""

    scheme: str
    host: str
    port: int
    app: str
    name: str
    """With the arguments, if there are any."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises InvalidInput, which does not quote the URL: it may end with a stream key."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            host.encode("idna")  # as the resolver does
        except (ValueError, UnicodeError) as error:
            raise InvalidInput("relay", f"is no RTMP URL: {error}") from None
        app, _, name = parts.path.lstrip("/").partition("/")
        if parts.scheme not in ("rtmp", "rtmps") or not host or not app or not name:
            raise InvalidInput("relay", "is not rtmp://host[:port]/app/name")
        known = 443 if parts.scheme == "rtmps" else 1935
        return cls(parts.scheme, host, port or known, app, f"{name}?{parts.query}" if parts.query else name)


class RtmpPublisher:
    """A publish connection to ``rtmp://`` or ``rtmps://``. Every wait ends after ``timeout_s``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._chunks = ChunkReader(_MAX_ANSWER_BYTES)
        self._stream_id = 1
        self._chunk_bytes = 128
        self._tasks = BackgroundTasks()
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, url: str, timeout_s: float = 5.0) -> Self:
        """Connects and publishes. Raises OSError, TimeoutError, InvalidInput or PublishRejected."""
        place = PublishPlace.parse(url)
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                place.host, place.port, ssl=place.scheme == "rtmps" or None
            )
            publisher = cls(reader, writer, timeout_s)
            try:
                await publisher._handshake()
                host = f"[{place.host}]" if ":" in place.host else place.host
                tc_url = f"{place.scheme}://{host}:{place.port}/{place.app}"
                await publisher._publish(place.app, tc_url, place.name)
            except BaseException:
                writer.transport.abort()
                raise
        publisher._listener = publisher._tasks.start(publisher._listen())
        return publisher

    async def send(self, message: Message, timestamp_ms: int) -> None:
        """Sends one media message. Raises OSError or TimeoutError if the server does not take it."""
        if self._listener is None or self._listener.done():
            raise ConnectionResetError("the relay's server closed the connection")
        if message.type_id == MessageType.DATA:
            message = replace(message, payload=amf.encode("@setDataFrame") + message.payload)
        stamped = replace(message, timestamp=timestamp_ms, stream_id=self._stream_id)
        self._write(stamped, _CHUNK_STREAMS.get(MessageType(message.type_id), 5))
        async with asyncio.timeout(self._timeout_s):
            await self._writer.drain()

    async def wait_closed(self) -> None:
        """Waits until the server closes the connection."""
        if self._listener is not None:
            await asyncio.wait({self._listener})

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                self._command(self._stream_id, "deleteStream", 0.0, None, float(self._stream_id))
                await self._writer.drain()
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()

    async def _handshake(self) -> None:
        self._writer.write(b"\x03" + bytes(8) + os.urandom(HANDSHAKE_BYTES - 8))
        try:
            answer = await self._reader.readexactly(1 + 2 * HANDSHAKE_BYTES)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the relay's server left during the handshake") from None
        self._writer.write(answer[1 : 1 + HANDSHAKE_BYTES])

    async def _publish(self, app: str, tc_url: str, name: str) -> None:
        properties: dict[str, amf.AmfValue] = {
            "app": app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; edge-gate)",
            "tcUrl": tc_url,
        }
        self._command(0, "connect", 1.0, properties)
        await self._answer("_result")
        self._write(Message(MessageType.SET_CHUNK_SIZE, 0, struct.pack(">I", _CHUNK_BYTES)), 2)
        self._chunk_bytes = _CHUNK_BYTES
        self._command(0, "releaseStream", 2.0, None, name)
        self._command(0, "FCPublish", 3.0, None, name)
        self._command(0, "createStream", 4.0, None)
        created = await self._answer("_result", transaction=4.0)
        if len(created) > 3 and isinstance(created[3], float) and 0 <= created[3] < 2**32:
            self._stream_id = int(created[3])
        self._command(self._stream_id, "publish", 5.0, None, name, "live")
        status = await self._answer("onStatus")
        information = status[3] if len(status) > 3 else None
        if not isinstance(information, dict) or information.get("level") == "error":
            raise PublishRejected(f"relay: {information}")

    async def _answer(self, name: str, transaction: float | None = None) -> list[amf.AmfValue]:
        """Reads up to the next command of that name. Ignores failures of the optional releaseStream and
        FCPublish."""
        while True:
            while (message := self._chunks.read()) is not None:
                if message.type_id != MessageType.COMMAND:
                    continue
                command = amf.decode(message.payload)
                if len(command) < 2:
                    continue
                if command[0] == "_error" and command[1] in (1.0, transaction):
                    raise PublishRejected(f"relay: {command[3:]}")
                if command[0] == name and transaction in (None, command[1]):
                    return command
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionResetError("the relay's server closed the connection")
            self._chunks.feed(data)

    async def _listen(self) -> None:
        """Reads and discards acknowledgements and the like until the connection ends."""
        while True:
            try:
                data = await self._reader.read(65536)
            except OSError:
                return
            if not data:
                return

    def _command(self, stream_id: int, *values: amf.AmfValue) -> None:
        self._write(Message(MessageType.COMMAND, 0, amf.encode(*values), stream_id), 3)

    def _write(self, message: Message, chunk_stream: int) -> None:
        self._writer.write(encode_message(message, chunk_stream, self._chunk_bytes))
