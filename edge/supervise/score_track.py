"""The scores of one stream over its last minutes, by category. Only people look at them. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import Final

from edge.domain import ScorePoint

SLOT_MS: Final = 250
SLOTS: Final = 480
"""Two minutes of media. A category takes two kilobytes."""
STEP_MS: Final = 2_000
_STEP: Final = STEP_MS // SLOT_MS
_SECOND: Final = 1_000 // SLOT_MS
_MOST_CATEGORIES: Final = 16


class ScoreTrack:
    """Rings of slots of ``SLOT_MS``, one a category. A slot has the highest score of its time."""

    def __init__(self) -> None:
        self._rings: dict[str, array[float]] = {}
        self._newest = -1
        self._lately: tuple[int, tuple[tuple[str, tuple[float, ...]], ...]] | None = None

    def note(self, category: str, pts_ms: int, score: float) -> None:
        """Takes a score, 0 to 1, at a media time. What is too old, or no number, is left out."""
        slot = pts_ms // SLOT_MS
        if slot < 0 or slot <= self._newest - SLOTS or not math.isfinite(score):
            return
        ring = self._rings.get(category)
        if ring is None:
            if len(self._rings) >= _MOST_CATEGORIES:
                return
            ring = self._rings[category] = array("f", [math.nan]) * SLOTS
        self._advance(slot)
        held = ring[slot % SLOTS]
        ring[slot % SLOTS] = score if math.isnan(held) else max(held, score)

    def points(self, since_pts_ms: int = 0) -> tuple[ScorePoint, ...]:
        """Returns what is kept from this media time on, oldest first."""
        oldest = max(since_pts_ms // SLOT_MS, self._newest - SLOTS + 1, 0)
        return tuple(
            ScorePoint(slot * SLOT_MS, category, round(ring[slot % SLOTS], 4))
            for slot in range(oldest, self._newest + 1)
            for category, ring in self._rings.items()
            if not math.isnan(ring[slot % SLOTS])
        )

    def lately(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """Returns the highest score of each ``STEP_MS`` of what is kept, oldest first, by category, the
        highest category first. -1 where there is none. It is made anew once in a second of media."""
        made = self._newest // _SECOND
        if self._lately is None or self._lately[0] != made:
            end = (self._newest // _STEP + 1) * _STEP
            lines = [(category, tuple(self._steps(ring, end))) for category, ring in self._rings.items()]
            lines.sort(key=lambda line: (-max(line[1]), line[0]))
            self._lately = made, tuple(lines)
        return self._lately[1]

    def _steps(self, ring: array[float], end: int) -> Iterator[float]:
        for at in range(end - SLOTS, end, _STEP):
            held = (ring[slot % SLOTS] for slot in range(at, at + _STEP) if 0 <= slot <= self._newest)
            yield max((round(score, 3) for score in held if not math.isnan(score)), default=-1.0)

    def _advance(self, slot: int) -> None:
        for new in range(max(self._newest + 1, slot - SLOTS + 1), slot + 1):
            for ring in self._rings.values():
                ring[new % SLOTS] = math.nan
        self._newest = max(self._newest, slot)
