"""The banks of a worker: changes taken in, and searches that were cut short said."""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog

from edge.clock import Clock
from edge.errors import GateError
from edge.match import BackgroundReload, Matcher

CHECK_MS: Final = 2000.0
"""How often the directory is looked at."""
_SAY_MS: Final = 60_000.0

log = structlog.get_logger(__name__)


class WorkerBanks:
    """Used by the worker's loop, in its thread; never waits."""

    def __init__(self, matcher: Matcher, clock: Clock) -> None:
        self._matcher = matcher
        self._clock = clock
        self._reload = BackgroundReload(matcher)
        self._looked_ms = clock.monotonic_ms()
        self._said_ms = float("-inf")
        self._said: Counter[str] = Counter()

    @property
    def cut_short(self) -> int:
        """Searches so far in which a bound was hit."""
        return self._matcher.cut_short.total()

    def ask(self) -> None:
        """Look for changes now."""
        self._looked_ms = self._clock.monotonic_ms()
        self._reload.look()

    def check(self) -> None:
        """Take in what has been read; look for changes and report now and then."""
        try:
            if self._reload.take():
                log.info("banks reloaded", bank_digest=self._matcher.digest)
        except GateError as error:
            log.error("banks not reloaded, the ones in use stay", error=str(error))
        now = self._clock.monotonic_ms()
        if now - self._looked_ms >= CHECK_MS:
            self.ask()
        if now - self._said_ms >= _SAY_MS and self.cut_short > self._said.total():
            self._say_cut_short(now)

    def _say_cut_short(self, now: float) -> None:
        """One line a minute at most, with how many searches by bank since the last one."""
        since = self._matcher.cut_short - self._said
        self._said_ms = now
        self._said = self._matcher.cut_short.copy()
        log.warning(
            "bank searches cut short: too much lies within the radius, the nearest were kept",
            searches=dict(since),
        )
