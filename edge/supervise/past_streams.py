"""Remembers who the streams were that have ended lately. A new bank entry may find what they showed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cachetools import FIFOCache

from edge.domain import Publish, StreamId

MOST: Final = 4_096


@dataclass(frozen=True, slots=True)
class PastStream:
    """A stream that has ended without a cut."""

    id: StreamId
    publish: Publish
    started_ms: int
    ended_wall_ms: int
    clean_ms: int = 0
    """Clean record of its broadcaster before it."""
    struck: bool = False
    flagged: set[str] = field(default_factory=set)
    """Categories for which it has an incident since it ended. One of each is enough."""


class PastStreams:
    """Those that ended last. They are in memory only."""

    def __init__(self, most: int = MOST) -> None:
        self._streams: FIFOCache[str, PastStream] = FIFOCache(most)

    def add_stream(self, stream: PastStream) -> None:
        self._streams[stream.id] = stream

    def __iter__(self) -> Iterator[PastStream]:
        return iter(list(self._streams.values()))
