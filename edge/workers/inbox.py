"""The inbox of a worker's loop: the supervisor's messages and those of the worker's own threads.

The loop itself reads the supervisor's socket.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import time
import weakref
from dataclasses import dataclass

from edge.contract.gen import worker_pb2
from edge.errors import WorkerLost
from edge.workers import ipc_framing
from edge.workers.models import ModelArrived


@dataclass(frozen=True, slots=True)
class SupervisorGone:
    pass


Command = worker_pb2.ToWorker | ipc_framing.PushedUnit | ModelArrived | SupervisorGone


def name_of(command: Command) -> str:
    """Returns the command's name for logs."""
    return type(_said(command)).__name__


def stream_of(command: Command) -> tuple[str, int]:
    """Returns the stream's id and opening number, or empty and 0 where the command names none."""
    said = _said(command)
    return getattr(said, "stream_id", ""), getattr(said, "opening", 0)


def _said(command: Command) -> object:
    """Returns the message inside a ToWorker, or any other command itself."""
    kind = command.WhichOneof("command") if isinstance(command, worker_pb2.ToWorker) else None
    return command if kind is None else getattr(command, kind)


class Inbox:
    """A queue with ``put`` for any thread and ``get`` for the loop's thread.

    No standard queue waits for a socket as well. A reader thread would cost the loop a wake-up and
    contention for the GIL with each access unit.
    """

    def __init__(self, max_commands: int, connection: socket.socket | None = None) -> None:
        """``max_commands`` bounds what threads may queue; ``put`` blocks beyond it. The socket bounds what
        the supervisor sends."""
        self._threads: queue.Queue[Command] = queue.Queue(max_commands)
        self._receiver = None if connection is None else ipc_framing.FrameReader(connection)
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wakeup)
        self._poll = select.poll()
        self._poll.register(self._wakeup, select.POLLIN)
        if connection is not None:
            self._poll.register(connection, select.POLLIN)
        self._waits = False
        self._socket_first = False

    def put(self, command: Command) -> None:
        self._threads.put(command)
        if self._waits:
            os.eventfd_write(self._wakeup, 1)

    def get(self, wait_ms: float = 0.0) -> Command | None:
        """Returns the next command, or None when none comes within ``wait_ms``."""
        if (command := self._next()) is not None or wait_ms <= 0:
            return command
        until = time.monotonic() + wait_ms / 1000
        while True:
            self._waits = True
            if self._threads.empty():  # otherwise a put came before its thread could see that the loop waits
                self._poll.poll(max(0.0, 1000 * (until - time.monotonic())))
            self._waits = False
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wakeup)
            # The wake-up may be for a command already taken, or a message may be incomplete.
            if (command := self._next()) is not None or time.monotonic() >= until:
                return command

    def _next(self) -> Command | None:
        """Alternates between the two sources, so that neither starves."""
        self._socket_first = not self._socket_first
        if self._socket_first:
            command = self._from_socket()
            return self._from_threads() if command is None else command
        command = self._from_threads()
        return self._from_socket() if command is None else command

    def _from_threads(self) -> Command | None:
        return None if self._threads.empty() else self._threads.get_nowait()

    def _from_socket(self) -> Command | None:
        if self._receiver is None:
            return None
        try:
            command = self._receiver.next()
        except WorkerLost:  # the framing is lost: nothing says where the next message begins
            return SupervisorGone()
        return SupervisorGone() if command is None and self._receiver.ended else command
