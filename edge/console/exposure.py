"""How much evidence each person has watched today: when a break is due, and when it is enough. Pure.

It is kept in this process: a gate that starts again begins to count anew, and each gate of a fleet counts for
itself. The audit log says for good who has read what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edge.allowance import MAX_KEYS
from edge.policy import DAY_MS

MOST_AT_ONCE_MS: Final = 15_000
"""Of one report of a player."""
_MOST_CLIPS: Final = 10_000


@dataclass(slots=True)
class WatchedToday:
    """What one person has watched on one day (UTC)."""

    day: int
    ms: int = 0
    clips: set[str] = field(default_factory=set)


class Exposure:
    """Counts by person. Times are wall milliseconds."""

    def __init__(self, break_ms: int, limit_ms: int) -> None:
        self._break_ms = break_ms
        self._limit_ms = limit_ms
        self._people: dict[str, WatchedToday] = {}

    def today(self, name: str, now_ms: int) -> WatchedToday:
        """What the person has watched today."""
        day = now_ms // DAY_MS
        known = self._people.get(name)
        if known is None or known.day != day:
            if len(self._people) >= MAX_KEYS:
                self._people = {who: each for who, each in self._people.items() if each.day == day}
            self._people[name] = known = WatchedToday(day)
        return known

    def watched(self, name: str, incident_id: str, ms: int, now_ms: int) -> bool:
        """Adds what a player has shown. Returns whether a break is due because of it."""
        known = self.today(name, now_ms)
        before = known.ms
        known.ms += min(max(ms, 0), MOST_AT_ONCE_MS)
        if len(known.clips) < _MOST_CLIPS:  # a browser may name any
            known.clips.add(incident_id)
        return known.ms // self._break_ms > before // self._break_ms

    def spent(self, name: str, now_ms: int) -> bool:
        """Whether the person has watched as much as anybody may in a day."""
        return self.today(name, now_ms).ms >= self._limit_ms
