"""Framing between supervisor and worker: a 4-byte little-endian length, then one protobuf message."""

from __future__ import annotations

import asyncio
import socket
import struct

from google.protobuf.message import DecodeError

from edge.api.gen import worker_pb2
from edge.errors import WorkerLost

MAX_FRAME_BYTES = 80 * 1024 * 1024
_LENGTH = struct.Struct("<I")


def frame(message: worker_pb2.ToWorker | worker_pb2.FromWorker) -> bytes:
    """One message as bytes on the wire."""
    body = message.SerializeToString()
    return _LENGTH.pack(len(body)) + body


def receive(connection: socket.socket) -> worker_pb2.ToWorker | None:
    """Worker side, blocking. None at a clean end of file."""
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(connection, _checked(_LENGTH.unpack(head)[0]))
    return None if body is None else worker_pb2.ToWorker.FromString(body)


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


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            return None
        view = view[count:]
    return bytes(buffer)
