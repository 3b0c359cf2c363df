"""The banks of a worker: takes in changes and reports searches that were cut short.

The supervisor keeps the files that a worker reads: verified copies of the banks.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Final

import structlog

from edge.clock import Clock
from edge.errors import GateError
from edge.match import BackgroundReload, BankSet, Matcher
from edge.workers.guarded_matcher import GuardedMatcher

CHECK_MS: Final = 2000.0
"""Interval between two checks of the bank directory."""
AGAIN_MS: Final = 30_000.0
"""Interval after which unreadable banks are read again although their files have not changed."""
_SAY_MS: Final = 60_000.0

log = structlog.get_logger(__name__)


class WorkerBanks:
    """Reloads and reports banks. Runs in the loop's thread and never blocks."""

    def __init__(self, matcher: Matcher, clock: Clock) -> None:
        self._matcher = matcher
        self._clock = clock
        page = matcher.page if isinstance(matcher, GuardedMatcher) else None
        self._reload = BackgroundReload(matcher, nullcontext if page is None else page.reading_banks)
        self._looked_ms = clock.monotonic_ms()
        self._said_ms = float("-inf")
        self._said: Counter[str] = Counter()
        self._read_ms = self._looked_ms
        self._trouble: tuple[tuple[str, ...], float] = ((), float("-inf"))
        """The last reported errors of unreadable banks, and when they were reported."""

    @property
    def cut_short(self) -> int:
        """Number of searches so far that hit a bound."""
        return self._matcher.cut_short.total()

    @property
    def hashes(self) -> int:
        """Number of hashes in the banks in use."""
        return self._matcher.hashes

    @property
    def unreadable(self) -> int:
        """Number of unreadable banks. Each is left out, or its last readable state stays in use."""
        return len(self._matcher.banks.unreadable)

    @property
    def searches_failed(self) -> int:
        """Number of searches so far that raised an error."""
        return self._matcher.searches_failed if isinstance(self._matcher, GuardedMatcher) else 0

    def ask(self, *, anew: bool = False) -> None:
        """Checks the directory for changes now. ``anew``: files may be others under the same names."""
        self._looked_ms = now = self._clock.monotonic_ms()
        anew = anew or (self.unreadable > 0 and now - self._read_ms >= AGAIN_MS)
        if anew:
            self._read_ms = now
        self._reload.look(anew=anew)

    def check(self) -> None:
        """Takes in what has been read. Checks for changes and reports problems at intervals."""
        before = self._matcher.banks
        now = self._clock.monotonic_ms()
        try:
            if self._reload.take():
                self._read_ms = now
                self._say_taken(before)
        except GateError as error:
            log.error("banks not reloaded; the ones in use stay", error=str(error))
        self._say_unreadable(now)
        if now - self._looked_ms >= CHECK_MS:
            self.ask()
        if now - self._said_ms >= _SAY_MS and self.cut_short > self._said.total():
            self._say_cut_short(now)

    def _say_taken(self, before: BankSet) -> None:
        banks = self._matcher.banks
        if gone := before.names - banks.names:
            log.warning("banks are gone: their entries no longer match", banks=sorted(gone))
        if banks.digest != before.digest:
            log.info("banks reloaded", bank_digest=banks.digest, hashes=banks.hashes)

    def _say_unreadable(self, now: float) -> None:
        """Reports a new problem at once, and a lasting one once a minute."""
        said, said_ms = self._trouble
        unreadable = self._matcher.banks.unreadable
        if unreadable != said or (unreadable and now - said_ms >= _SAY_MS):
            self._trouble = (unreadable, now)
            if unreadable:
                log.error("banks cannot be read", errors=unreadable)
            else:
                log.info("all banks can be read again", hashes=self.hashes)

    def _say_cut_short(self, now: float) -> None:
        """Logs the searches by bank since the last line, at most once a minute."""
        since = self._matcher.cut_short - self._said
        self._said_ms = now
        self._said = self._matcher.cut_short.copy()
        log.warning(
            "bank searches cut short: too many hits within the radius, the nearest were kept",
            searches=dict(since),
        )
