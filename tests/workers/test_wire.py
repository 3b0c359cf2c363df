"""Frames survive the wire; what is too long or cut short does not pass."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from edge.api.gen import gate_pb2, worker_pb2
from edge.errors import WorkerLost
from edge.workers import wire


def test_worker_receives_what_the_supervisor_sends() -> None:
    ours, theirs = socket.socketpair()
    unit = gate_pb2.AccessUnit(pts_ms=5, dts_ms=4, keyframe=True, data=bytes(100_000))
    command = worker_pb2.ToWorker(media=worker_pb2.Media(stream_id="st", unit=unit, arrival_ms=1.5))
    with ours, theirs:
        ours.sendall(wire.frame(command))
        assert wire.receive(theirs) == command
        ours.close()
        assert wire.receive(theirs) is None


def test_worker_refuses_a_frame_over_the_limit() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(struct.pack("<I", wire.MAX_FRAME_BYTES + 1))
        with pytest.raises(WorkerLost, match="limit"):
            wire.receive(theirs)


async def test_supervisor_reads_events_and_the_end() -> None:
    reader = asyncio.StreamReader()
    event = worker_pb2.FromWorker(pong=worker_pb2.Pong(sequence=7))
    reader.feed_data(wire.frame(event) + b"\x05\x00")
    reader.feed_eof()
    assert await wire.read_event(reader) == event
    assert await wire.read_event(reader) is None


async def test_supervisor_refuses_nonsense() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(struct.pack("<I", 4) + b"\xff\xff\xff\xff")
    reader.feed_eof()
    with pytest.raises(WorkerLost, match="no message"):
        await wire.read_event(reader)
