"""RTMP chunks to messages and back (Adobe, "RTMP 1.0", section 5.3). Bounded, without I/O.

Our own code, because the RTMP packages on PyPI have faults. They lose the stream at extended timestamps
(after 4.6 hours), ignore the delta of type 3 chunks, and let the publisher choose how much memory it takes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge.errors import InvalidInput, LimitExceeded
from edge.ingest.aggregate import unpack_aggregate
from edge.ingest.message import Message, MessageType

MAX_CHUNK_STREAMS = 32
MAX_COMMAND_BYTES = 16 * 1024
MAX_CONTROL_BYTES = 64
MAX_AUDIO_BYTES = 256 * 1024
MAX_EMPTY_MESSAGES = 64
MIN_CHUNK_BYTES = 128
"""The protocol's default and recommended minimum of the chunk size. Smaller chunks only cost work."""
_EXTENDED = 0xFFFFFF
_HEADER_BYTES = (11, 7, 3, 0)


@dataclass(slots=True)
class _ChunkStream:
    """The header state that later, shorter headers of the same chunk stream refer to."""

    timestamp: int = 0
    field24: int = 0
    delta: int = 0
    length: int = 0
    type_id: int = 0
    stream_id: int = 0
    parts: bytearray = field(default_factory=bytearray)
    open: bool = False


class ChunkReader:
    """Turns bytes into messages. Obeys SET_CHUNK_SIZE and ABORT itself, and also returns them. Unpacks
    aggregates.

    Holds at most ``2 * max_message_bytes`` of unfinished messages, whatever the publisher declares, plus one
    aggregate and the fed bytes that are not read yet. A few bytes can hold as many messages, so ``read``
    returns one at a time. Raises LimitExceeded or InvalidInput for bytes that no real publisher sends. The
    connection is unusable after that.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_unfinished_bytes = 2 * max_message_bytes
        self._chunk_size = MIN_CHUNK_BYTES
        self._buffer = bytearray()
        self._streams: dict[int, _ChunkStream] = {}
        self._filling: _ChunkStream | None = None
        self._chunk_left = 0
        self._unfinished_bytes = 0
        self._unpacking: Iterator[Message] = iter(())
        self._empty = 0
        """Count of empty messages less the others, at least 0."""

    def feed(self, data: bytes) -> None:
        """Appends bytes of the connection for ``read``."""
        self._buffer += data

    def read(self) -> Message | None:
        """Returns the next complete message, or None if more bytes are needed."""
        while (message := next(self._unpacking, None)) is None:
            if (message := self._whole()) is None:
                return None
            self._check_empty(message)
            if message.type_id != MessageType.AGGREGATE:
                return message
            self._unpacking = unpack_aggregate(message)
        self._check_length(message.type_id, len(message.payload))
        self._check_empty(message)
        return message

    def _whole(self) -> Message | None:
        """Returns the next message as it was sent."""
        at = 0
        while True:
            if self._filling is None:
                header = self._header(at)
                if header is None:
                    break
                at = header
            stream = self._filling
            assert stream is not None
            part = self._buffer[at : at + self._chunk_left]
            at += len(part)
            stream.parts += part
            self._chunk_left -= len(part)
            self._unfinished_bytes += len(part)
            if self._unfinished_bytes > self._max_unfinished_bytes:
                raise LimitExceeded(
                    "rtmp.unfinished_messages", self._max_unfinished_bytes, self._unfinished_bytes, "bytes"
                )
            if self._chunk_left:
                break
            self._filling = None
            if len(stream.parts) == stream.length:
                del self._buffer[:at]
                return self._complete(stream)
        del self._buffer[:at]
        return None

    def _complete(self, stream: _ChunkStream) -> Message:
        message = Message(stream.type_id, stream.timestamp, bytes(stream.parts), stream.stream_id)
        self._discard(stream)
        if message.type_id == MessageType.SET_CHUNK_SIZE:
            size = control_value(message) & 0x7FFFFFFF
            if size < MIN_CHUNK_BYTES:
                raise InvalidInput("rtmp.chunk_size", f"{size} bytes; must be at least {MIN_CHUNK_BYTES}")
            self._chunk_size = size
        elif message.type_id == MessageType.ABORT:
            aborted = self._streams.get(control_value(message))
            if aborted is not None:
                self._discard(aborted)
        return message

    def _check_empty(self, message: Message) -> None:
        # Some encoders send empty audio beside their video. A run of nothing but empty messages only costs
        # work.
        self._empty = max(0, self._empty + (-1 if message.payload else 1))
        if self._empty > MAX_EMPTY_MESSAGES:
            raise LimitExceeded("rtmp.empty_messages", MAX_EMPTY_MESSAGES, self._empty, "messages")

    def _discard(self, stream: _ChunkStream) -> None:
        self._unfinished_bytes -= len(stream.parts)
        stream.parts = bytearray()
        stream.open = False

    def _header(self, at: int) -> int | None:
        """Parses the chunk header at ``at``. Returns the position after it, or None if more bytes are
        needed."""
        buffer = self._buffer
        if len(buffer) <= at:
            return None
        form, stream_id = buffer[at] >> 6, buffer[at] & 0x3F
        at += 1
        if stream_id < 2:
            width = stream_id + 1
            if len(buffer) < at + width:
                return None
            stream_id = 64 + int.from_bytes(buffer[at : at + width], "little")
            at += width
        size = _HEADER_BYTES[form]
        if len(buffer) < at + size:
            return None
        stream = self._streams.get(stream_id)
        if stream is None:
            if form != 0 and form != 1:
                raise InvalidInput("rtmp.chunk", f"type {form} opens chunk stream {stream_id}")
            if len(self._streams) >= MAX_CHUNK_STREAMS:
                raise LimitExceeded("rtmp.chunk_streams", MAX_CHUNK_STREAMS, MAX_CHUNK_STREAMS + 1, "streams")
            stream = _ChunkStream()
        if stream.open and form != 3:
            raise InvalidInput("rtmp.chunk", f"type {form} inside a message of chunk stream {stream_id}")
        header = buffer[at : at + size]
        at += size
        field24 = int.from_bytes(header[0:3], "big") if size else stream.field24
        stamp = field24
        if field24 == _EXTENDED:
            if len(buffer) < at + 4:
                return None
            stamp = int.from_bytes(buffer[at : at + 4], "big")
            # Some encoders omit the extended timestamp in the chunks that continue a message.
            if form != 3 or stamp == stream.delta:
                at += 4
            else:
                stamp = stream.delta
        elif form == 3:
            stamp = stream.delta
        length, type_id = stream.length, stream.type_id
        if size >= 7:
            length, type_id = int.from_bytes(header[3:6], "big"), header[6]
            self._check_length(type_id, length)
        # No state changes before this point, because an incomplete header is parsed again.
        self._streams[stream_id] = stream
        stream.field24, stream.length, stream.type_id = field24, length, type_id
        if form == 0:
            stream.stream_id = int.from_bytes(header[7:11], "little")
        if not stream.open:
            stream.timestamp = stamp if form == 0 else (stream.timestamp + stamp) & 0xFFFFFFFF
            stream.delta = stamp
            stream.open = True
        self._filling = stream
        self._chunk_left = min(self._chunk_size, length - len(stream.parts))
        return at

    def _check_length(self, type_id: int, length: int) -> None:
        if type_id == MessageType.VIDEO:
            name, limit = "rtmp.video", self._max_message_bytes
        elif type_id == MessageType.AUDIO:
            name, limit = "rtmp.audio", MAX_AUDIO_BYTES
        elif type_id == MessageType.AGGREGATE:
            name, limit = "rtmp.aggregate", self._max_message_bytes
        elif type_id <= MessageType.SET_PEER_BANDWIDTH:
            name, limit = "rtmp.control", MAX_CONTROL_BYTES
        else:
            name, limit = "rtmp.command", MAX_COMMAND_BYTES
        if length > limit:
            raise LimitExceeded(name, limit, length, "bytes")


def control_value(message: Message) -> int:
    """The first 32 bits of a protocol control message. Raises InvalidInput if there are fewer."""
    if len(message.payload) < 4:
        raise InvalidInput("rtmp.control", f"type {message.type_id} is shorter than 4 bytes")
    return int.from_bytes(message.payload[:4], "big")


def encode_message(message: Message, chunk_stream: int, chunk_size: int) -> bytes:
    """Encodes one message as a type 0 chunk and type 3 chunks. ``chunk_stream`` is 2 to 63."""
    stamp = message.timestamp & 0xFFFFFFFF
    extended = struct.pack(">I", stamp) if stamp >= _EXTENDED else b""
    payload = message.payload
    out = bytearray([chunk_stream])
    out += min(stamp, _EXTENDED).to_bytes(3, "big") + len(payload).to_bytes(3, "big")
    out += bytes([message.type_id]) + message.stream_id.to_bytes(4, "little") + extended
    out += payload[:chunk_size]
    for at in range(chunk_size, len(payload), chunk_size):
        out += bytes([0xC0 | chunk_stream]) + extended + payload[at : at + chunk_size]
    return bytes(out)
