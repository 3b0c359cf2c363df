"""Framing between supervisor and worker: a 4-byte little-endian length, then one protobuf message."""

from __future__ import annotations

import asyncio
import socket
import struct

from google.protobuf.message import DecodeError

from edge.api.gen import worker_pb2
from edge.errors import WorkerLost

MAX_FRAME_BYTES = 80 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024
_LENGTH = struct.Struct("<I")


def frame(message: worker_pb2.ToWorker | worker_pb2.FromWorker) -> bytes:
    """One message as bytes on the wire."""
    body = message.SerializeToString()
    return _LENGTH.pack(len(body)) + body


class Receiver:
    """Worker side, blocking: one read of the socket for all that waits in it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    def next(self) -> worker_pb2.ToWorker | None:
        """The next message; None at the end of file, also in the middle of one."""
        head = self._exactly(_LENGTH.size)
        if head is None:
            return None
        body = self._exactly(_checked(_LENGTH.unpack(head)[0]))
        return None if body is None else worker_pb2.ToWorker.FromString(body)

    def _exactly(self, length: int) -> bytes | None:
        if length > _BUFFER_BYTES:
            return self._large(length)
        while self._end - self._start < length:
            if self._start + length > _BUFFER_BYTES:
                rest = self._end - self._start
                self._buffer[:rest] = self._buffer[self._start : self._end]
                self._start, self._end = 0, rest
            count = self._connection.recv_into(self._view[self._end :])
            if count == 0:
                return None
            self._end += count
        found = bytes(self._view[self._start : self._start + length])
        self._start += length
        if self._start == self._end:
            self._start = self._end = 0
        return found

    def _large(self, length: int) -> bytes | None:
        found = bytearray(length)
        filled = self._end - self._start
        found[:filled] = self._view[self._start : self._end]
        self._start = self._end = 0
        view = memoryview(found)[filled:]
        while view:
            count = self._connection.recv_into(view)
            if count == 0:
                return None
            view = view[count:]
        return bytes(found)


async def read_event(reader: asyncio.StreamReader) -> worker_pb2.FromWorker | None:
    """Supervisor side. None when the worker is gone; WorkerLost when it talks nonsense."""
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
