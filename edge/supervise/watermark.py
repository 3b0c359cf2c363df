"""The watermark in the words of a caller: its own stamps, and its own units. Pure.

Stamps belong to the publisher. Where they stand still, go back or jump, no stamp divides what was judged from
what was not. So the watermark also counts units, and its stamp stays before each unit that was not judged.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MOST_WAITING: Final = 4096
"""Most units that wait one by one. Older ones wait together."""


_Waiting = tuple[int, float, int, int]
"""Media time up to which a sample must reach to show a unit, its arrival, its pts as the caller counts it,
and the number of units. No class: there is one for each unit of each stream."""


class Watermark:
    """What of one call's media is cleared: judged, and leads to no cut. It may have been flagged."""

    def __init__(self) -> None:
        self.units = 0
        """Number of units, from the first one on, that are cleared."""
        self.pts_ms = -1
        """All units of the call up to this pts of the caller's are cleared. It goes back where a
        pts does. -1 before the first."""
        self._waiting: deque[_Waiting] = deque()
        self._highest_ms = -1
        self._cleared_ms = -1

    def add_unit(self, pts_ms: int, end_ms: int, arrival_ms: float) -> None:
        """Takes the next unit in decoding order. ``end_ms`` is the later of its times on the gate's clock."""
        if len(self._waiting) >= MOST_WAITING:
            (end, arrival, pts, units), other = self._waiting.popleft(), self._waiting.popleft()
            together = max(end, other[0]), max(arrival, other[1]), min(pts, other[2]), units + other[3]
            self._waiting.appendleft(together)
        self._waiting.append((end_ms, arrival_ms, pts_ms, 1))
        if pts_ms <= self.pts_ms:
            self.pts_ms = pts_ms - 1

    def caller_pts_ms(self, pts_ms: int) -> int:
        """Returns the caller's own pts of the unit at ``pts_ms`` on the gate's clock, not cleared yet."""
        found = min((unit for unit in self._waiting if unit[0] >= pts_ms), default=None)
        return pts_ms if found is None or found[2] == _ANY_MS else found[2]

    def clear(self, cleared_ms: int, arrival_ms: float) -> None:
        """Takes a verdict: the gate's own watermark after it, and when the unit arrived that completed its
        sample. No sample shows what came later, whatever the stamps say."""
        if cleared_ms <= self._cleared_ms:
            return
        self._cleared_ms = cleared_ms
        waiting: deque[_Waiting] = deque()
        for unit in self._waiting:
            end, arrival, pts, units = unit
            shown = end <= cleared_ms and arrival <= arrival_ms
            if shown and pts != _ANY_MS:
                self._highest_ms = max(self._highest_ms, pts)
            if shown and not waiting:
                self.units += units
            else:
                waiting.append((end, arrival, _ANY_MS, units) if shown else unit)
        self._waiting = waiting
        lowest_ms = min((unit[2] for unit in waiting), default=_ANY_MS)
        self.pts_ms = min(self._highest_ms, lowest_ms - 1)


_ANY_MS: Final = 1 << 63
"""The pts of a unit that was judged before one that was sent earlier."""
