"""Finds runaway entries: a bank entry that suddenly matches many streams is probably wrong. Pure.

A test card, a logo or a game's loading screen in a bank would cut everyone who shows it. But a hundred new
accounts that show one violation must not switch it off. So a stream weighs by what is known of it, and people
are asked first. Only the supervisor sees all streams. It feeds the guard with every match that counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from cachetools import LRUCache

WINDOW_MS = 600_000
MAX_ENTRIES = 10_000
"""Most entries watched at a time. The least recently matched are forgotten first."""
MAX_STREAMS = 4_096
"""Most streams of an entry, the newest."""


class Runaway(StrEnum):
    """What a match makes of its entry."""

    NO = "no"
    IN_DOUBT = "in_doubt"
    """It has matched so many streams that people are asked, once in ten minutes. It acts as before."""
    OVER = "over"
    """The streams that it has matched weigh more than its limit."""


@dataclass(slots=True)
class _Matched:
    streams: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When each matched first, and its weight. Oldest first."""
    asked_ms: float = float("-inf")


class RunawayGuard:
    """Weighs for each entry the distinct streams that matched it within ten minutes."""

    def __init__(self, window_ms: int = WINDOW_MS) -> None:
        self._window_ms = window_ms
        self._seen: LRUCache[tuple[str, str], _Matched] = LRUCache(MAX_ENTRIES)

    def observe(
        self, now_ms: float, bank: str, entry: str, stream: str, limit: int, weight: float = 1.0
    ) -> Runaway:
        """Takes a match that counts.

        ``limit`` is the bank's ``runaway_streams``. With 0 its entries never run away. ``weight`` says how
        much the stream counts, 0 to 1. People are asked where as many streams match as the limit, whatever
        they weigh, or where they weigh half as much.
        """
        if limit <= 0:
            return Runaway.NO
        seen = self._seen.setdefault((bank, entry), _Matched())
        streams = seen.streams
        while streams and now_ms - next(iter(streams.values()))[0] > self._window_ms:
            del streams[next(iter(streams))]
        if stream in streams:
            return Runaway.NO
        streams[stream] = now_ms, weight
        if len(streams) > MAX_STREAMS:
            del streams[next(iter(streams))]
        weighs = sum(each for _, each in streams.values())
        if weighs > limit:
            del self._seen[bank, entry]
            return Runaway.OVER
        if now_ms - seen.asked_ms > self._window_ms and (len(streams) > limit or 2 * weighs > limit):
            seen.asked_ms = now_ms
            return Runaway.IN_DOUBT
        return Runaway.NO
