"""Combines many events of one cause into one log line a second, with a count."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Literal

import structlog

MAX_CAUSES = 32
"""Most causes in one second. Further ones are counted as ``other``."""
_OTHER = "other"

Fields = Callable[[], Mapping[str, object]]


class LogAggregator:
    """Counts events by cause. Call ``note`` for each event and ``flush`` once a second.

    With ``first_at_once`` the first event of a new cause is logged at once, and only those that follow are
    counted. A cause is new when the second before did not have it.
    """

    def __init__(
        self, event: str, *, level: Literal["info", "warning"] = "warning", first_at_once: bool = False
    ) -> None:
        self._event = event
        self._first_at_once = first_at_once
        self._counts: dict[Hashable, int] = {}
        self._subjects: dict[Hashable, set[Hashable]] = {}
        self._fields: dict[Hashable, Fields] = {}
        self._before: frozenset[Hashable] = frozenset()
        """The causes of the last second."""
        self._level = level
        self._log = structlog.get_logger(__name__)

    def note(
        self,
        cause: Hashable,
        subject: Hashable = None,
        count: int = 1,
        fields: Fields | None = None,
    ) -> None:
        """Counts an event.

        ``subject`` is what the event happened to; the line says how many different subjects there were.
        ``fields`` returns the fields that the line shows in place of the cause. It is called only for a
        line, and only for the first event of a second.
        """
        if cause not in self._counts:
            if len(self._counts) >= MAX_CAUSES:
                cause, fields = _OTHER, None
                self._counts.setdefault(cause, 0)
            else:
                self._counts[cause] = 0
                if fields is not None:
                    self._fields[cause] = fields
                if self._first_at_once and cause not in self._before:
                    self._line({"cause": cause} if fields is None else fields())
                    return
        self._counts[cause] += count
        if subject is not None:
            self._subjects.setdefault(cause, set()).add(subject)

    def flush(self) -> None:
        """Writes one line a cause and starts anew."""
        counts, self._counts = self._counts, {}
        subjects, self._subjects = self._subjects, {}
        all_fields, self._fields = self._fields, {}
        self._before = frozenset(counts)
        for cause, count in counts.items():
            if count:
                if (fields := all_fields.get(cause)) is None:
                    self._line({"cause": cause, "count": count, "streams": len(subjects.get(cause, ()))})
                else:
                    self._line({**fields(), "count": count})

    def _line(self, fields: Mapping[str, object]) -> None:
        getattr(self._log, self._level)(self._event, **fields)
