"""How often a stream is opened anew for its publisher's sake: so many times a minute. Pure.

Each reopening costs a moment of watching, and who publishes chooses when one is needed.
"""

from __future__ import annotations

from collections import deque

_MINUTE_MS = 60_000
PER_MINUTE = 6
"""Turning a phone or restarting an encoder needs one each; nobody does that all the time."""


class Reopenings:
    """The reopenings of one stream in the last minute."""

    def __init__(self, per_minute: int = PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._at_ms: deque[float] = deque()

    def take(self, now_ms: float) -> bool:
        """Counts one more. Returns False, and counts nothing, if there were too many in the last minute."""
        while self._at_ms and now_ms - self._at_ms[0] >= _MINUTE_MS:
            self._at_ms.popleft()
        if len(self._at_ms) >= self._per_minute:
            return False
        self._at_ms.append(now_ms)
        return True
