"""Runaway entries: one entry that suddenly matches many streams is more likely wrong than a wave.

A test card, a logo or a game's loading screen that got into a bank would cut everyone who shows it.
Pure; the supervisor, which alone sees all streams, feeds it with every match that counts.
"""

from __future__ import annotations

from collections import deque

from cachetools import LRUCache

WINDOW_MS = 600_000
MAX_ENTRIES = 10_000
"""Entries watched at a time; the ones not seen for longest are forgotten first."""


class RunawayGuard:
    """Counts, per entry, the distinct streams that matched it within ten minutes."""

    def __init__(self, window_ms: int = WINDOW_MS) -> None:
        self._window_ms = window_ms
        self._seen: LRUCache[tuple[str, str], deque[tuple[float, str]]] = LRUCache(MAX_ENTRIES)

    def observe(self, now_ms: float, bank: str, entry: str, stream: str, limit: int) -> bool:
        """Take in a match that counts; whether it is the one with which the entry passes its limit.

        ``limit``: the bank's ``runaway_streams``; 0 means that its entries never run away.
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
