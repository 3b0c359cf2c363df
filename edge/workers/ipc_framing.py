"""Framing between supervisor and worker: a 4-byte little-endian length, then one protobuf message.

When the highest bit of the length is set, one access unit follows instead: arrival in monotonic
milliseconds (f64), pts, dts (i64), flags (u8: 1 keyframe, 2 deferred), length of the stream's id (u8), the
id, the data.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import NamedTuple

from google.protobuf.message import DecodeError

from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit
from edge.errors import WorkerLost

MAX_FRAME_BYTES = 80 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024
_LENGTH = struct.Struct("<I")
_MEDIA = 0x8000_0000
_MEDIA_HEAD = struct.Struct("<dqqBB")
_KEYFRAME, _DEFERRED = 1, 2


def frame(message: worker_pb2.ToWorker | worker_pb2.FromWorker) -> bytes:
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
    flags = _KEYFRAME * unit.keyframe | _DEFERRED * unit.deferred
    head = _MEDIA_HEAD.pack(unit.arrival_ms, unit.pts_ms, unit.dts_ms, flags, len(ident))
    length = len(head) + len(ident) + len(unit.data)
    return b"".join((_LENGTH.pack(_MEDIA | length), head, ident, unit.data))


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
        message = (
            self._media(body, end) if media else worker_pb2.ToWorker.FromString(bytes(self._view[body:end]))
        )
        self._start = end
        if end == self._end:
            self._start = self._end = 0
            if len(self._buffer) > _BUFFER_BYTES:
                self._resize(_BUFFER_BYTES)
        return message

    def _media(self, body: int, end: int) -> PushedUnit:
        arrival_ms, pts_ms, dts_ms, flags, length = _MEDIA_HEAD.unpack_from(self._buffer, body)
        data = body + _MEDIA_HEAD.size + length
        ident = str(self._view[data - length : data], "utf-8")
        unit = AccessUnit(
            pts_ms,
            dts_ms,
            bool(flags & _KEYFRAME),
            bytes(self._view[data:end]),
            arrival_ms,
            bool(flags & _DEFERRED),
        )
        return PushedUnit(ident, unit)

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


def _checked(length: int) -> int:
    if length > MAX_FRAME_BYTES:
        raise WorkerLost(f"frame of {length} bytes is over the limit of {MAX_FRAME_BYTES} bytes")
    return length
