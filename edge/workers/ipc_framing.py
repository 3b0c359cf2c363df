"""Framing between supervisor and worker or puller: a 4-byte little-endian length, then one protobuf message.

When the highest bit of the length is set, one access unit follows instead: arrival in monotonic
milliseconds (f64), pts, dts (i64), flags (u8: 1 keyframe, 2 deferred, 4 untimed), length of the stream's id
(u8), the id, the data.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import NamedTuple

from google.protobuf.message import DecodeError, Message

from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit
from edge.errors import WorkerLost

MAX_FRAME_BYTES = 80 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024
_LENGTH = struct.Struct("<I")
_MEDIA = 0x8000_0000
_MEDIA_HEAD = struct.Struct("<dqqBB")
_KEYFRAME, _DEFERRED, _UNTIMED = 1, 2, 4


def frame(message: Message) -> bytes:
    """Returns one message as bytes on the wire."""
    body = message.SerializeToString()
    return _LENGTH.pack(len(body)) + body


class PushedUnit(NamedTuple):
    """One access unit of a push stream."""

    stream_id: str
    unit: AccessUnit


def media_frame(stream_id: str, unit: AccessUnit) -> bytes:
    """Returns one access unit as bytes on the wire. Not protobuf, because nearly all traffic is media."""
    ident = stream_id.encode()
    flags = _KEYFRAME * unit.keyframe | _DEFERRED * unit.deferred | _UNTIMED * unit.untimed
    head = _MEDIA_HEAD.pack(unit.arrival_ms, unit.pts_ms, unit.dts_ms, flags, len(ident))
    length = len(head) + len(ident) + len(unit.data)
    return b"".join((_LENGTH.pack(_MEDIA | length), head, ident, unit.data))


def _media(body: memoryview) -> PushedUnit:
    """Parses what ``media_frame`` has put behind the length. Raises struct.error and UnicodeDecodeError."""
    arrival_ms, pts_ms, dts_ms, flags, length = _MEDIA_HEAD.unpack_from(body)
    data = _MEDIA_HEAD.size + length
    ident = str(body[_MEDIA_HEAD.size : data], "utf-8")
    unit = AccessUnit(
        pts_ms,
        dts_ms,
        bool(flags & _KEYFRAME),
        bytes(body[data:]),
        arrival_ms,
        bool(flags & _DEFERRED),
        bool(flags & _UNTIMED),
    )
    return PushedUnit(ident, unit)


class FrameReader:
    """Reads frames from the socket without blocking. Worker side."""

    def __init__(self, connection: socket.socket) -> None:
        self.ended = False
        """The supervisor has closed the socket."""
        self._connection = connection
        self._resize(_BUFFER_BYTES)
        self._start = self._end = 0

    def next(self) -> worker_pb2.ToWorker | PushedUnit | None:
        """Returns the next message, or None until a whole one has come.

        Raises WorkerLost for a frame over the limit.
        """
        while True:
            waiting = self._end - self._start
            if waiting >= _LENGTH.size:
                word: int = _LENGTH.unpack_from(self._buffer, self._start)[0]
                whole = _LENGTH.size + _checked(word & ~_MEDIA)
                if waiting >= whole:
                    return self._take(whole, media=bool(word & _MEDIA))
                self._make_room(whole)
            if not self._fill():
                return None

    def _take(self, whole: int, *, media: bool) -> worker_pb2.ToWorker | PushedUnit:
        body, end = self._start + _LENGTH.size, self._start + whole
        raw = self._view[body:end]
        message = _media(raw) if media else worker_pb2.ToWorker.FromString(bytes(raw))
        self._start = end
        if end == self._end:
            self._start = self._end = 0
            if len(self._buffer) > _BUFFER_BYTES:
                self._resize(_BUFFER_BYTES)
        return message

    def _make_room(self, whole: int) -> None:
        if self._start + whole > len(self._buffer):
            waiting = bytes(self._view[self._start : self._end])
            if whole > len(self._buffer):
                self._resize(whole)
            self._view[: len(waiting)] = waiting
            self._start, self._end = 0, len(waiting)

    def _fill(self) -> bool:
        """Reads once what the socket holds. Returns whether there was anything."""
        if self._end == len(self._buffer):
            self._make_room(len(self._buffer) - self._start + 1)
        try:
            count = self._connection.recv_into(self._view[self._end :], flags=socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        self.ended = count == 0
        self._end += count
        return not self.ended

    def _resize(self, length: int) -> None:
        self._buffer = bytearray(length)
        self._view = memoryview(self._buffer)


async def read_event(reader: asyncio.StreamReader) -> worker_pb2.FromWorker | None:
    """Reads the worker's next event, or None when the worker is gone. Supervisor side.

    Raises WorkerLost for a frame that is too long or no message.
    """
    try:
        head = await reader.readexactly(_LENGTH.size)
        body = await reader.readexactly(_checked(_LENGTH.unpack(head)[0]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return worker_pb2.FromWorker.FromString(body)
    except DecodeError as error:
        raise WorkerLost(f"worker sent a frame that is no message: {error}") from None


async def read_pulled(reader: asyncio.StreamReader, limit: int) -> worker_pb2.FromPuller | AccessUnit | None:
    """Reads a puller's next message, or None when the puller is gone. Supervisor side.

    Raises WorkerLost for a frame over ``limit`` bytes or no message.
    """
    try:
        word: int = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))[0]
        body = await reader.readexactly(_checked(word & ~_MEDIA, limit))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return _media(memoryview(body)).unit if word & _MEDIA else worker_pb2.FromPuller.FromString(body)
    except (DecodeError, struct.error, UnicodeDecodeError) as error:
        raise WorkerLost(f"puller sent a frame that is no message: {error}") from None


def read_body(connection: socket.socket) -> bytes:
    """Waits for the next message. Puller side. Raises EOFError when the supervisor is gone."""
    with connection.makefile("rb", buffering=0) as file:
        head = file.read(_LENGTH.size) or b""
        body = b""
        if len(head) == _LENGTH.size:
            length = _checked(_LENGTH.unpack(head)[0])
            while len(body) < length and (more := file.read(length - len(body))):
                body += more
            if len(body) == length:
                return body
    raise EOFError


def _checked(length: int, limit: int = MAX_FRAME_BYTES) -> int:
    if length > limit:
        raise WorkerLost(f"frame of {length} bytes is over the limit of {limit} bytes")
    return length
