"""Frames survive the wire; what is too long or cut short does not pass."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.api.gen import gate_pb2, worker_pb2
from edge.errors import WorkerLost
from edge.workers import wire


def media(size: int, pts_ms: int = 5) -> worker_pb2.ToWorker:
    unit = gate_pb2.AccessUnit(pts_ms=pts_ms, dts_ms=4, keyframe=True, data=bytes(size))
    return worker_pb2.ToWorker(media=worker_pb2.Media(stream_id="st", unit=unit, arrival_ms=1.5))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 900, 15_000, 130_000, 262_100, 262_144, 600_000]), max_size=12),
    st.integers(1, 300_000),
)
def test_worker_receives_what_the_supervisor_sends_however_it_is_cut(sizes: list[int], piece: int) -> None:
    commands = [media(size, number) for number, size in enumerate(sizes)]
    raw = b"".join(wire.frame(command) for command in commands)
    ours, theirs = socket.socketpair()

    def send() -> None:
        with ours:
            for start in range(0, len(raw), piece):
                ours.sendall(raw[start : start + piece])

    sending = threading.Thread(target=send)
    sending.start()
    with theirs:
        receiver = wire.Receiver(theirs)
        assert [receiver.next() for _ in commands] == commands
        assert receiver.next() is None
    sending.join()


def test_a_message_that_is_cut_short_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(wire.frame(media(400_000))[:-1][:100_000])
        ours.close()
        assert wire.Receiver(theirs).next() is None


def test_worker_refuses_a_frame_over_the_limit() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(struct.pack("<I", wire.MAX_FRAME_BYTES + 1))
        with pytest.raises(WorkerLost, match="limit"):
            wire.Receiver(theirs).next()


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
