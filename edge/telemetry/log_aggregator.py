"""Many events of one cause as one line of log a second, with a count."""

from __future__ import annotations

from collections.abc import Hashable

import structlog

MAX_CAUSES = 256
"""Causes in one second; what is beyond is counted as ``other``."""


class LogAggregator:
    """Call ``note`` for each event and ``flush`` once a second."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._counts: dict[str, int] = {}
        self._subjects: dict[str, set[Hashable]] = {}
        self._log = structlog.get_logger(__name__)

    def note(self, cause: str, subject: Hashable = None, count: int = 1) -> None:
        """``subject``: what it happened to; the line says how many different ones there were."""
        if cause not in self._counts and len(self._counts) >= MAX_CAUSES:
            cause = "other"
        self._counts[cause] = self._counts.get(cause, 0) + count
        if subject is not None:
            self._subjects.setdefault(cause, set()).add(subject)

    def flush(self) -> None:
        """Writes one line a cause, and begins anew."""
        counts, self._counts = self._counts, {}
        subjects, self._subjects = self._subjects, {}
        for cause, count in counts.items():
            self._log.warning(self._event, cause=cause, count=count, streams=len(subjects.get(cause, ())))
