"""How the runs of an exchange went, and when the next one is due. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from edge.backoff import backoff_ms
from edge.exchange.definition import Definition

_FIRST_PAUSE_MS: Final = 30_000
_MOST_PAUSE_MS: Final = 3_600_000
FAILING_AFTER: Final = 3
"""Failures in a row from which an exchange counts as failing."""
_STALE_PERIODS: Final = 4
_LEAST_STALE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Wall times in milliseconds; 0: never."""

    tried_ms: int = 0
    """End of the last run."""
    done_ms: int = 0
    """End of the last run that fetched all that there was."""
    failures: int = 0
    """Runs in a row that failed."""
    error: str = ""
    """Why the last run failed. Empty: it did not."""
    not_before_ms: int = 0
    """The exchange asked to be left alone until then."""
    unfinished: bool = False
    """The last run ended for its time, and the next goes on."""

    @classmethod
    def of(cls, noted: Any) -> Self:
        """What was noted by ``as_dict``. What is missing or unknown counts as never."""
        if not isinstance(noted, Mapping):
            return cls()
        known = {name: value for name, value in noted.items() if name in cls.__slots__}
        return cls(**known)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def done(self, wall_ms: int, *, unfinished: bool) -> RunStatus:
        """The status after a run that did not fail."""
        done_ms = self.done_ms if unfinished else wall_ms
        return RunStatus(tried_ms=wall_ms, done_ms=done_ms, unfinished=unfinished)

    def failed(self, wall_ms: int, error: str, wait_s: float) -> RunStatus:
        """The status after a run that failed."""
        return replace(
            self,
            tried_ms=wall_ms,
            failures=self.failures + 1,
            error=error[:1000],
            not_before_ms=wall_ms + round(wait_s * 1000) if wait_s else 0,
            unfinished=False,
        )

    def due_ms(self, definition: Definition) -> int | None:
        """Wall time of the next run. None: there is none while the exchange is disabled."""
        if not definition.enabled:
            return None
        if self.failures:
            pause_ms = backoff_ms(self.failures, _FIRST_PAUSE_MS, _MOST_PAUSE_MS)
            return max(self.tried_ms + round(pause_ms), self.not_before_ms)
        return (
            self.tried_ms
            if self.unfinished
            else self.done_ms + definition.every_s * 1000
            if self.done_ms
            else 0
        )

    def failing(self) -> bool:
        return self.failures >= FAILING_AFTER

    def stale(self, definition: Definition, wall_ms: int) -> bool:
        """Whether its footage is older than a few periods. Never before the first run has ended."""
        limit_ms = max(_STALE_PERIODS * definition.every_s * 1000, _LEAST_STALE_MS)
        return bool(self.done_ms) and wall_ms - self.done_ms > limit_ms
