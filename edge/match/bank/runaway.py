"""Finds runaway entries: a bank entry that suddenly matches many streams is probably wrong. Pure.

A test card, a logo or a game's loading screen in a bank would cut everyone who shows it. Only the
supervisor sees all streams. It feeds the guard with every match that counts.
"""

from __future__ import annotations

from collections import deque

from cachetools import LRUCache

WINDOW_MS = 600_000
MAX_ENTRIES = 10_000
"""Most entries watched at a time. The least recently matched are forgotten first."""


class RunawayGuard:
    """Counts for each entry the distinct streams that matched it within ten minutes."""

    def __init__(self, window_ms: int = WINDOW_MS) -> None:
        self._window_ms = window_ms
        self._seen: LRUCache[tuple[str, str], deque[tuple[float, str]]] = LRUCache(MAX_ENTRIES)

    def observe(self, now_ms: float, bank: str, entry: str, stream: str, limit: int) -> bool:
        """Takes a match that counts. Returns whether the entry exceeds its limit with this match.

        ``limit`` is the bank's ``runaway_streams``. With 0 its entries never run away.
        """
        if limit <= 0:
            return False
        key = (bank, entry)
        seen = self._seen.setdefault(key, deque(maxlen=limit + 1))
        while seen and now_ms - seen[0][0] > self._window_ms:
            seen.popleft()
        if any(stream == known for _, known in seen):
            return False
        seen.append((now_ms, stream))
        if len(seen) <= limit:
            return False
        del self._seen[key]
        return True
