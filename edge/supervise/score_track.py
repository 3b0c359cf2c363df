"""The scores of one stream over its last minutes, by category. Only people look at them. Pure."""

from __future__ import annotations

import math
from array import array
from typing import Final

from edge.domain import ScorePoint

SLOT_MS: Final = 250
SLOTS: Final = 480
"""Two minutes of media. A category takes two kilobytes."""
_MOST_CATEGORIES: Final = 16


class ScoreTrack:
    """Rings of slots of ``SLOT_MS``, one a category. A slot has the highest score of its time."""

    def __init__(self) -> None:
        self._rings: dict[str, array[float]] = {}
        self._newest = -1

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

    def _advance(self, slot: int) -> None:
        for new in range(max(self._newest + 1, slot - SLOTS + 1), slot + 1):
            for ring in self._rings.values():
                ring[new % SLOTS] = math.nan
        self._newest = max(self._newest, slot)
