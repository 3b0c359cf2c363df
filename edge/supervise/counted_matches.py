"""Counts the streams that showed footage which is only counted, since the gate started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

from edge.contract.gen import gate_pb2
from edge.supervise.live_stream import LiveStream
from edge.telemetry.records import MatchCounted, Record

MOST_ENTRIES: Final = 10_000
"""Most entries that are counted. The least recently shown is forgotten first."""
MOST_OF_STREAM: Final = 256
"""Most matches of one stream that are counted."""


class CountedMatches:
    """A stream counts once for an entry, and once for a bank."""

    def __init__(self, report: Callable[[Record], None]) -> None:
        self._report = report
        self.banks: Counter[str] = Counter()
        """Streams by bank."""
        self.entries: LRUCache[tuple[str, str], int] = LRUCache(MOST_ENTRIES)
        """Streams by bank and entry."""

    def note(self, stream: LiveStream, signal: gate_pb2.Signal) -> None:
        """Counts a match, unless the stream has shown the entry in the same way before."""
        match = signal.bank, signal.entry, signal.source
        seen = stream.counted_matches
        if match in seen or len(seen) >= MOST_OF_STREAM:
            return
        if all(bank != signal.bank for bank, _, _ in seen):
            self.banks[signal.bank] += 1
        if all((bank, entry) != match[:2] for bank, entry, _ in seen):
            self.entries[match[:2]] = self.entries.get(match[:2], 0) + 1
        seen.add(match)
        self._report(MatchCounted(stream.id, *match))
