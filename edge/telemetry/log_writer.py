"""A log stream that never blocks its writers.

A pipe without a reader, as of a stopped terminal or a hung log collector, blocks everybody who writes to
it. So a thread of its own writes, and lines that find no room are dropped and counted.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable
from typing import Final

MAX_LINES: Final = 10_000
"""Most lines that wait to be written."""


class LogWriter:
    """A text stream with ``write`` and ``flush``. ``lost(count)`` returns the line that reports dropped
    lines."""

    def __init__(self, descriptor: int, lost: Callable[[int], str], max_lines: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._said_of_lost = lost
        self._lines: queue.Queue[str | None] = queue.Queue(max_lines)
        self._counting = threading.Lock()
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queues the text without waiting. Drops it when the queue is full."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            with self._counting:
                self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Does nothing. See ``close``."""

    def close(self, within_s: float) -> None:
        """Waits at most ``within_s`` for queued lines."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(within_s)

    def _run(self) -> None:
        while (text := self._lines.get()) is not None:
            with self._counting:
                lost, self._lost = self._lost, 0
            if lost:
                text = f"{self._said_of_lost(lost)}\n{text}"
            with contextlib.suppress(OSError):  # nobody reads any more
                self._put_out(text.encode(errors="replace"))

    def _put_out(self, raw: bytes) -> None:
        """Writes to the descriptor itself. A blocked thread would hold the lock of Python's
        stream at exit."""
        left = memoryview(raw)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # a process that shares the pipe has made it non-blocking
                select.select([], [self._descriptor], [])
