"""Both sources wake the loop, and neither starves the other."""

from __future__ import annotations

import socket
import struct
import threading
import time

from edge.contract.gen import worker_pb2
from edge.workers import ipc_framing
from edge.workers.inbox import Inbox, SupervisorGone
from edge.workers.models import ModelArrived

LONG_MS = 30_000.0


def ping(sequence: int) -> worker_pb2.ToWorker:
    return worker_pb2.ToWorker(ping=worker_pb2.Ping(sequence=sequence))


def loaded(swap: int) -> ModelArrived:
    return ModelArrived(swap, None, "", use=False)


def test_a_thread_wakes_a_loop_that_waits() -> None:
    inbox = Inbox(8)
    threading.Timer(0.1, inbox.put, [loaded(1)]).start()
    start = time.monotonic()
    assert inbox.get(LONG_MS) == loaded(1)
    assert time.monotonic() - start < LONG_MS / 1000
    assert inbox.get() is None


def test_no_wake_up_is_lost_however_threads_and_loop_meet() -> None:
    inbox = Inbox(4)
    count = 3000

    def fill() -> None:
        for number in range(count):
            inbox.put(loaded(number))

    thread = threading.Thread(target=fill)
    thread.start()
    got = [inbox.get(LONG_MS) for _ in range(count)]
    thread.join()
    assert got == [loaded(number) for number in range(count)]


def test_the_supervisor_wakes_it_and_is_missed_when_it_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        inbox = Inbox(8, theirs)
        threading.Timer(0.1, ours.sendall, [ipc_framing.frame(ping(3))]).start()
        assert inbox.get(LONG_MS) == ping(3)
        threading.Timer(0.1, ours.close).start()
        assert inbox.get(LONG_MS) == SupervisorGone()


def test_nonsense_is_the_end_of_the_supervisor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inbox = Inbox(8, theirs)
        ours.sendall(struct.pack("<I", ipc_framing.MAX_FRAME_BYTES + 1))
        assert inbox.get(LONG_MS) == SupervisorGone()


def test_a_flood_of_one_side_does_not_shut_the_other_out() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inbox = Inbox(64, theirs)
        for number in range(32):
            ours.sendall(ipc_framing.frame(ping(number)))
            inbox.put(loaded(number))
        first = [inbox.get() for _ in range(8)]
        assert ping(3) in first
        assert loaded(3) in first
