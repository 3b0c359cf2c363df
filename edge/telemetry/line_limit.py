"""Bounds the log lines of one event: whoever causes many of them does not fill the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

MOST_LINES: Final = 100
"""Lines of one event in a second."""
_MAX_EVENTS: Final = 4096
_SECOND_S: Final = 1.0
_OTHER: Final = "other"


class LineLimit:
    """Counts lines by event, which is a constant text. Also a processor of structlog.

    Lines beyond ``MOST_LINES`` in a second are left out. The next line of the event says how many in
    ``left_out``.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._counting = threading.Lock()
        self._seconds: dict[str, tuple[float, int]] = {}
        """By event: when its second began, and how many lines it has had since."""
        self._cleared_s = now_s()

    def left_out_before(self, event: str) -> int | None:
        """How many lines were left out before this one. None: it is to be left out itself."""
        with self._counting:
            now_s = self._now_s()
            if event not in self._seconds and len(self._seconds) >= _MAX_EVENTS:
                event = self._make_room(event, now_s)
            began_s, lines = self._seconds.get(event, (now_s, 0))
            left_out = 0
            if now_s - began_s >= _SECOND_S:
                began_s, lines, left_out = now_s, 0, max(0, lines - MOST_LINES)
            self._seconds[event] = began_s, lines + 1
        return left_out if lines < MOST_LINES else None

    def _make_room(self, event: str, now_s: float) -> str:
        """Forgets events that are over, once a second. If there are none, further events share a name."""
        if now_s - self._cleared_s >= _SECOND_S:
            self._cleared_s = now_s
            self._seconds = {
                name: (began_s, lines)
                for name, (began_s, lines) in self._seconds.items()
                if now_s - began_s < _SECOND_S
            }
        return event if len(self._seconds) < _MAX_EVENTS else _OTHER

    def __call__(
        self, logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        left_out = self.left_out_before(str(event.get("event", "")))
        if left_out is None:
            raise structlog.DropEvent
        if left_out:
            event["left_out"] = left_out
        return event
