"""Finds what holds up a worker's loop outside of its jobs. No job's time shows it, and every stream waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from edge.clock import Clock

_STALL_MS: Final = 250.0
_SAY_MS: Final = 10_000.0
"""Least interval between two log lines."""

log = structlog.get_logger(__name__)


class Stalls:
    """Times laps of the loop between two jobs.

    A lap that takes too long is logged at once. Those that follow soon after are counted in the next line.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms = clock.monotonic_ms()
        self._said_ms = float("-inf")
        self._unsaid = 0

    def begin(self) -> None:
        """Begins the first lap."""
        self._since_ms = self._clock.monotonic_ms()

    def lap(self, what: Callable[[], str], meant_ms: float = 0.0) -> None:
        """Ends a lap and begins the next one.

        ``meant_ms`` is the time that the lap was meant to wait. ``what`` names the lap for people.
        """
        now = self._clock.monotonic_ms()
        held_ms, self._since_ms = now - self._since_ms - meant_ms, now
        if held_ms <= _STALL_MS:
            return
        if now - self._said_ms < _SAY_MS:
            self._unsaid += 1
            return
        log.warning("held up outside of a job", what=what(), held_ms=round(held_ms), unsaid=self._unsaid)
        self._said_ms, self._unsaid = now, 0
