"""A stream for log lines that never waits for who reads them.

A pipe that nobody reads, as that of a terminal which was stopped or of a log collector which hangs, holds up
everybody who writes to it. The gate must not be one of them: a thread of its own writes, and what it does not
get rid of is left out and counted.
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
"""Lines that wait to be written, at most."""


class LogWriter:
    """Takes text as a file does. ``lost(count)`` gives the line that says how many were left out."""

    def __init__(self, descriptor: int, lost: Callable[[int], str], max_lines: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._said_of_lost = lost
        self._lines: queue.Queue[str | None] = queue.Queue(max_lines)
        self._counting = threading.Lock()
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Never waits."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            with self._counting:
                self._lost += 1
        return len(text)

    def flush(self) -> None:
        """There is nothing to wait for; see ``close``."""

    def close(self, within_s: float) -> None:
        """Waits so long for what is still to be written."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(within_s)

    def _run(self) -> None:
        while (text := self._lines.get()) is not None:
            with self._counting:
                lost, self._lost = self._lost, 0
            if lost:
                text = f"{self._said_of_lost(lost)}\n{text}"
            with contextlib.suppress(OSError):  # nobody is there to read it
                self._put_out(text.encode(errors="replace"))

    def _put_out(self, raw: bytes) -> None:
        """Past Python's own stream, whose lock a thread that waits would hold when the process ends."""
        left = memoryview(raw)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # whoever shares the pipe does not want to wait
                select.select([], [self._descriptor], [])
