"""The watermark in the words of a caller: its own stamps, and its own units. Pure.

Stamps belong to the publisher. Where they stand still, go back or jump, no stamp divides what was judged from
what was not. So the watermark also counts units, and its stamp stays before each unit that was not judged.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MOST_WAITING: Final = 4096
"""Most units that wait one by one. Older ones wait together."""


class _Waiting(NamedTuple):
    end_ms: int
    """Media time up to which a sample must reach to show it."""
    arrival_ms: float
    pts_ms: int
    """As the caller counts it."""
    units: int


class Watermark:
    """What of one call's media is judged and passed."""

    def __init__(self) -> None:
        self.units = 0
        """Number of units, from the first one on, that are judged and passed."""
        self.pts_ms = -1
        """All units of the call up to this pts of the caller's are judged and passed. It goes back where a
        pts does. -1 before the first."""
        self._waiting: deque[_Waiting] = deque()
        self._highest_ms = -1
        self._cleared_ms = -1

    def add_unit(self, pts_ms: int, end_ms: int, arrival_ms: float) -> None:
        """Takes the next unit in decoding order. ``end_ms`` is the later of its times on the gate's clock."""
        if len(self._waiting) >= MOST_WAITING:
            first, second = self._waiting.popleft(), self._waiting.popleft()
            self._waiting.appendleft(
                _Waiting(
                    max(first.end_ms, second.end_ms),
                    max(first.arrival_ms, second.arrival_ms),
                    min(first.pts_ms, second.pts_ms),
                    first.units + second.units,
                )
            )
        self._waiting.append(_Waiting(end_ms, arrival_ms, pts_ms, 1))
        self.pts_ms = min(self.pts_ms, pts_ms - 1)

    def caller_pts_ms(self, pts_ms: int) -> int:
        """Returns the caller's own pts of the unit at ``pts_ms`` on the gate's clock, not cleared yet."""
        found = min((unit for unit in self._waiting if unit.end_ms >= pts_ms), default=None)
        return pts_ms if found is None or found.pts_ms == _ANY_MS else found.pts_ms

    def clear(self, cleared_ms: int, arrival_ms: float) -> None:
        """Takes a verdict: the gate's own watermark after it, and when the unit arrived that completed its
        sample. No sample shows what came later, whatever the stamps say."""
        if cleared_ms <= self._cleared_ms:
            return
        self._cleared_ms = cleared_ms
        waiting: deque[_Waiting] = deque()
        for unit in self._waiting:
            shown = unit.end_ms <= cleared_ms and unit.arrival_ms <= arrival_ms
            if shown and unit.pts_ms != _ANY_MS:
                self._highest_ms = max(self._highest_ms, unit.pts_ms)
            if shown and not waiting:
                self.units += unit.units
            elif shown:
                waiting.append(unit._replace(pts_ms=_ANY_MS))
            else:
                waiting.append(unit)
        self._waiting = waiting
        lowest_ms = min((unit.pts_ms for unit in waiting), default=_ANY_MS)
        self.pts_ms = min(self._highest_ms, lowest_ms - 1)


_ANY_MS: Final = 1 << 63
"""The pts of a unit that was judged before one that was sent earlier."""
