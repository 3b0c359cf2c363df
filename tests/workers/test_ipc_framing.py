"""Frames survive the wire. Oversized and truncated ones are refused."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit
from edge.errors import WorkerLost
from edge.workers import ipc_framing


def media(size: int, pts_ms: int = 5, *, deferred: bool = False) -> ipc_framing.PushedUnit:
    data = bytes(number % 251 for number in range(min(size, 1000))).ljust(size, b"x")
    return ipc_framing.PushedUnit(
        "st-é", AccessUnit(pts_ms, -4, not deferred, data, 1.5, deferred, not deferred)
    )


def raw_of(command: worker_pb2.ToWorker | ipc_framing.PushedUnit) -> bytes:
    if isinstance(command, ipc_framing.PushedUnit):
        return ipc_framing.media_frame(command.stream_id, command.unit)
    return ipc_framing.frame(command)


def received(receiver: ipc_framing.FrameReader, connection: socket.socket) -> Iterator[object]:
    """All messages up to the end, read with waits as in the loop."""
    while not receiver.ended:
        if (message := receiver.next()) is not None:
            yield message
        elif not receiver.ended:
            select.select([connection], [], [], 10)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([-1, 0, 1, 900, 15_000, 130_000, 262_100, 262_144, 600_000]), max_size=12),
    st.integers(1, 300_000),
)
def test_worker_receives_what_the_supervisor_sends_however_it_is_cut(sizes: list[int], piece: int) -> None:
    commands = [
        worker_pb2.ToWorker(ping=worker_pb2.Ping(sequence=number))
        if size < 0
        else media(size, number - 2, deferred=bool(number % 2))
        for number, size in enumerate(sizes)
    ]
    raw = b"".join(map(raw_of, commands))
    piece = max(piece, len(raw) // 2000)
    ours, theirs = socket.socketpair()

    def send() -> None:
        with ours:
            for start in range(0, len(raw), piece):
                ours.sendall(raw[start : start + piece])

    sending = threading.Thread(target=send)
    sending.start()
    with theirs:
        assert list(received(ipc_framing.FrameReader(theirs), theirs)) == commands
    sending.join()


def test_a_message_that_is_cut_short_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(raw_of(media(400_000))[:-1][:100_000])
        ours.close()
        assert list(received(ipc_framing.FrameReader(theirs), theirs)) == []


def test_a_message_that_has_not_come_whole_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        receiver = ipc_framing.FrameReader(theirs)
        assert receiver.next() is None
        raw = raw_of(media(400_000))
        ours.sendall(raw[:100_000])
        assert receiver.next() is None
        assert not receiver.ended


@pytest.mark.parametrize("flag", [0, 1 << 31])
def test_worker_refuses_a_frame_over_the_limit(flag: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(struct.pack("<I", flag | ipc_framing.MAX_FRAME_BYTES + 1))
        with pytest.raises(WorkerLost, match="limit"):
            ipc_framing.FrameReader(theirs).next()


async def test_supervisor_reads_events_and_the_end() -> None:
    reader = asyncio.StreamReader()
    event = worker_pb2.FromWorker(pong=worker_pb2.Pong(sequence=7))
    reader.feed_data(ipc_framing.frame(event) + b"\x05\x00")
    reader.feed_eof()
    assert await ipc_framing.read_event(reader) == event
    assert await ipc_framing.read_event(reader) is None


async def test_supervisor_refuses_nonsense() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(struct.pack("<I", 4) + b"\xff\xff\xff\xff")
    reader.feed_eof()
    with pytest.raises(WorkerLost, match="no message"):
        await ipc_framing.read_event(reader)
