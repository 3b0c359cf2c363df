"""One publisher's RTMP connection: handshake, commands, then media messages.

Source: Adobe, "RTMP 1.0" (2012), sections 5.2 and 7. Enhanced RTMP changes only the content of the messages,
see ``flv.py``.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from edge.errors import InvalidInput, LimitExceeded
from edge.ingest import amf
from edge.ingest.chunks import ChunkReader, encode_message
from edge.ingest.connection import Connection
from edge.ingest.message import Message, MessageType

HANDSHAKE_BYTES = 1536
MAX_APP_CHARS = 128
MAX_NAME_CHARS = 256
MAX_QUERY_CHARS = 512
MAX_OPENING_MESSAGES = 256
"""Limit before the publish command. Encoders send about ten."""
_CLOSE_S = 0.25
_WRITE_CHUNK = 4096
_WINDOW_BYTES = 5_000_000
_MAX_UNSENT_BYTES = 256 * 1024
_TURN_MESSAGES = 64
"""After this many messages the session yields to the rest of the event loop."""
_MEDIA = (MessageType.VIDEO, MessageType.AUDIO, MessageType.DATA, MessageType.DATA_AMF3)


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A publish request.

    ``broadcaster``, ``stream_key`` and ``token`` come from the URL's ``user``, ``key`` and ``token``.
    """

    app: str
    name: str
    broadcaster: str
    address: str
    stream_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    identity_proven: bool = False
    """Whether the ingest has checked that the publisher is ``broadcaster``, or is told to trust it."""

    def takes_over(self, other: PublishRequest) -> bool:
        """Whether this is the same publisher once more, who comes back before its old connection is gone.

        The name alone proves nothing: whoever knows no secret of the other one ends nobody's stream.
        """
        same = ("app", "name", "broadcaster", "stream_key", "identity_proven")
        known = self.identity_proven or self.stream_key != ""
        return known and all(getattr(self, field) == getattr(other, field) for field in same)


class RtmpSession:
    """The server side of one connection. Call ``accept``, then ``start`` or ``refuse``, then ``media``.

    Every wait has a limit: ``handshake_timeout_s`` up to the publish command, ``idle_timeout_s`` between
    media messages. Even a flood of messages lets the rest of the event loop run after every few of them.
    """

    def __init__(
        self,
        wire: Connection,
        *,
        max_message_bytes: int,
        handshake_timeout_s: float,
        idle_timeout_s: float,
    ) -> None:
        self._wire = wire
        self._chunks = ChunkReader(max_message_bytes)
        self._handshake_timeout_s = handshake_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._until_turn = _TURN_MESSAGES
        self._app = ""
        self._connected = False
        self._stream_id = 1
        self._received = 0
        self._acknowledged = 0

    @property
    def address(self) -> str:
        """The publisher's address without port."""
        return self._wire.peer

    async def accept(self) -> PublishRequest | None:
        """Reads handshake and commands up to ``publish``. Returns None if the peer leaves before that.

        Raises TimeoutError, InvalidInput or LimitExceeded. A peer that has connected is told of the last two.
        """
        try:
            return await self._accept()
        except InvalidInput as error:
            if self._connected:
                await self.refuse("NetStream.Publish.BadName", str(error))
            raise

    async def _accept(self) -> PublishRequest | None:
        async with asyncio.timeout(self._handshake_timeout_s):
            if not await self._handshake():
                return None
            for _ in range(MAX_OPENING_MESSAGES):
                if (message := await self._next()) is None:
                    return None
                if message.type_id in (MessageType.COMMAND, MessageType.COMMAND_AMF3):
                    request = self._on_command(_arguments(message), message.stream_id)
                    if request is not None:
                        return request
        most = MAX_OPENING_MESSAGES
        raise LimitExceeded("rtmp.opening", most, most + 1, "messages before publish")

    def start(self) -> None:
        """Tells the publisher to go ahead."""
        self._status("status", "NetStream.Publish.Start", "publishing")

    async def refuse(self, code: str, description: str) -> None:
        """Tells the publisher the reason (``NetStream.Publish.BadName`` …) and closes the connection."""
        self._status("error", code, description)
        await self.close()

    async def close(self) -> None:
        """Closes the socket. Returns when it is closed, after at most a quarter of a second."""
        await self._wire.close(_CLOSE_S)

    async def media(self) -> AsyncIterator[Message]:
        """Yields audio, video and data messages until the publisher stops.

        Raises TimeoutError if no media comes for ``idle_timeout_s``.
        """
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            async with asyncio.timeout_at(last + self._idle_timeout_s):
                message = await self._next()
            if message is None:
                return
            if message.type_id in _MEDIA:
                yield message
                last = loop.time()
            elif message.type_id in (MessageType.COMMAND, MessageType.COMMAND_AMF3):
                command = _arguments(message)
                if command and command[0] in ("deleteStream", "closeStream", "FCUnpublish"):
                    return

    async def _next(self) -> Message | None:
        """Reads the next message and answers pings. Returns None at the end of the connection."""
        self._until_turn -= 1
        if self._until_turn <= 0:
            self._until_turn = _TURN_MESSAGES
            await asyncio.sleep(0)
        while (message := self._chunks.read()) is None:
            data = await self._wire.read()
            if not data:
                return None
            self._received += len(data)
            due = self._received - self._acknowledged
            # An acknowledgement sent to a closed connection resets it and loses unread data.
            if due >= _WINDOW_BYTES or (due >= _WINDOW_BYTES // 2 and self._wire.idle):
                self._acknowledged = self._received
                self._control(MessageType.ACKNOWLEDGEMENT, struct.pack(">I", self._received & 0xFFFFFFFF))
            self._chunks.feed(data)
        if message.type_id == MessageType.USER_CONTROL:
            self._on_user_control(message)
        return message

    async def _handshake(self) -> bool:
        """Exchanges the handshakes. Returns False if the peer leaves before the end."""
        data = bytearray()
        answered = False
        while len(data) < 1 + 2 * HANDSHAKE_BYTES:
            received = await self._wire.read()
            if not received:
                return False
            data += received
            if data[0] != 3:
                raise InvalidInput("rtmp.version", f"{data[0]} is not supported; 3 is")
            if not answered and len(data) > HANDSHAKE_BYTES:
                theirs = bytes(data[1 : 1 + HANDSHAKE_BYTES])
                ours = bytes(8) + os.urandom(HANDSHAKE_BYTES - 8)
                self._wire.write(b"\x03" + ours + theirs)
                answered = True
        self._chunks.feed(bytes(data[1 + 2 * HANDSHAKE_BYTES :]))
        return True

    def _on_command(self, command: list[amf.AmfValue], stream_id: int) -> PublishRequest | None:
        match command:
            case ["connect", float(transaction), dict(properties), *_]:
                try:
                    self._app = _app_of(properties)
                except InvalidInput as error:
                    self._command(0, "_error", transaction, None, _rejection(error))
                    raise
                self._connected = True
                self._control(MessageType.WINDOW_ACK_SIZE, struct.pack(">I", _WINDOW_BYTES))
                self._control(MessageType.SET_PEER_BANDWIDTH, struct.pack(">IB", _WINDOW_BYTES, 2))
                self._control(MessageType.SET_CHUNK_SIZE, struct.pack(">I", _WRITE_CHUNK))
                self._command(
                    0,
                    "_result",
                    transaction,
                    {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0},
                    {
                        "level": "status",
                        "code": "NetConnection.Connect.Success",
                        "description": "connected",
                        "objectEncoding": 0.0,
                    },
                )
            case ["createStream", float(transaction), *_]:
                self._command(0, "_result", transaction, None, float(self._stream_id))
            case ["publish", _, _, str(name), *_]:
                self._stream_id = stream_id
                return _request(self._app, name, self.address)
            case ["play" | "play2", *_]:
                raise InvalidInput("rtmp.command", "play is not supported: this server only takes publishers")
        return None

    def _on_user_control(self, message: Message) -> None:
        ping_request, ping_response = 6, 7
        if len(message.payload) >= 6 and int.from_bytes(message.payload[:2], "big") == ping_request:
            self._control(MessageType.USER_CONTROL, struct.pack(">H", ping_response) + message.payload[2:6])

    def _status(self, level: str, code: str, description: str) -> None:
        information: dict[str, amf.AmfValue] = {"level": level, "code": code, "description": description}
        self._command(self._stream_id, "onStatus", 0.0, None, information)

    def _command(self, stream_id: int, *values: amf.AmfValue) -> None:
        self._send(Message(MessageType.COMMAND, 0, amf.encode(*values), stream_id), 3)

    def _control(self, type_id: int, payload: bytes) -> None:
        self._send(Message(type_id, 0, payload), 2)

    def _send(self, message: Message, chunk_stream: int) -> None:
        if self._wire.closing:
            return
        # The server's own SET_CHUNK_SIZE applies from the next message on. Earlier messages are shorter
        # anyway.
        self._wire.write(encode_message(message, chunk_stream, _WRITE_CHUNK if self._connected else 128))
        if self._wire.unsent_bytes > _MAX_UNSENT_BYTES:
            self._wire.abort()  # the peer never reads


def _arguments(message: Message) -> list[amf.AmfValue]:
    skip = 1 if message.type_id == MessageType.COMMAND_AMF3 else 0
    return amf.decode(message.payload[skip:])


def _text(value: amf.AmfValue, name: str, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidInput(name, "must be a string")
    if len(value) > limit:
        raise LimitExceeded(name, limit, len(value), "characters")
    return value


def _app_of(properties: dict[str, amf.AmfValue]) -> str:
    """The app of a connect command, with its query.

    Raises InvalidInput without an app, as nginx-rtmp refuses it: blocks, policies and relays go by it.
    """
    app = _text(properties.get("app"), "rtmp.app", MAX_APP_CHARS + MAX_QUERY_CHARS)
    if not app.partition("?")[0].strip("/"):
        raise InvalidInput("rtmp.app", "must not be empty: publish to rtmp://HOST/APP/NAME")
    return app


def _rejection(error: InvalidInput) -> dict[str, amf.AmfValue]:
    return {"level": "error", "code": "NetConnection.Connect.InvalidApp", "description": str(error)}


def _request(app: str, name: str, address: str) -> PublishRequest:
    """Splits off the queries. If a publisher repeats a key, the first one counts."""
    app, _, app_query = app.partition("?")
    name, _, query = _text(name, "rtmp.name", MAX_NAME_CHARS + MAX_QUERY_CHARS).partition("?")
    app = _text(app.strip("/"), "rtmp.app", MAX_APP_CHARS)
    name = _text(name, "rtmp.name", MAX_NAME_CHARS)
    if not app:
        raise InvalidInput("rtmp.command", "publish before connect")
    if not name:
        raise InvalidInput("rtmp.name", "must not be empty: publish to rtmp://HOST/APP/NAME")
    fields: dict[str, str] = {}
    try:
        for key, value in parse_qsl(f"{query}&{app_query}", max_num_fields=32):
            fields.setdefault(key, value)
    except ValueError:
        raise LimitExceeded("rtmp.query", 32, query.count("&") + 1, "fields") from None
    return PublishRequest(
        app=app,
        name=name,
        broadcaster=_text(fields.get("user") or f"{app}/{name}", "rtmp.user", MAX_NAME_CHARS),
        address=address,
        stream_key=_text(fields.get("key", ""), "rtmp.key", MAX_QUERY_CHARS),
        token=_text(fields.get("token", ""), "rtmp.token", MAX_QUERY_CHARS),
    )
