"""Follows a ring for one reader who may be slow, from a keyframe of its last seconds on. Pure.

Nothing is queued for the reader: it takes what the ring holds when it comes. One that is too far behind goes
on at the newest keyframe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.domain import AccessUnit
from edge.stream.ring import Ring

MOST_READ_BYTES: Final = 1024 * 1024
"""Most bytes of one reading, unless a single unit has more."""
MOST_BEHIND_BYTES: Final = 8 * 1024 * 1024
MOST_BEHIND_MS: Final = 4_000
"""A reader who has reached the newest unit once, and is further behind than this or those bytes, goes on at
the newest keyframe."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Units that follow one another in decoding order."""

    units: tuple[AccessUnit, ...]
    next_dts_ms: int
    """Dts of the unit after them, which says how long the last one lasts."""
    gap: bool = False
    """Media before them was left out, and they begin with a keyframe."""


class RingReader:
    """The place of one reader in a ring."""

    def __init__(self, ring: Ring, back_ms: int) -> None:
        """It begins at the oldest keyframe that is at most ``back_ms`` before the newest unit, and in any
        case at one that is held."""
        self._ring = ring
        self._back_ms = back_ms
        self._next: int | None = None
        self._caught_up = False

    def read(self) -> Reading | None:
        """Returns what comes next. None: nothing yet.

        The newest unit waits for the one after it, because only that says how long it lasts.
        """
        if self._next is None:
            self._next = self._first()
            if self._next is None:
                return None
        gops = self._ring.gops_after(self._next)
        if not gops:
            return None
        gap = gops[0][0] > self._next
        if self._caught_up and len(gops) > 1 and (gap or _is_too_much(gops)):
            gops, gap = gops[-1:], True
        begin = gops[0][0]
        units = [unit for _, gop in gops for unit in gop]
        taken, size = 0, 0
        while taken < len(units) - 1 and (taken == 0 or size + len(units[taken].data) <= MOST_READ_BYTES):
            size += len(units[taken].data)
            taken += 1
        if taken == len(units) - 1:
            self._caught_up = True
        if not taken:
            return None
        self._next = begin + taken
        return Reading(tuple(units[:taken]), units[taken].dts_ms, gap)

    def _first(self) -> int | None:
        """Returns the number of the first unit for this reader."""
        gops = self._ring.gops_after(0)
        if not gops:
            return None
        newest_ms = gops[-1][1][-1].dts_ms
        first, size = gops[-1][0], _size(gops[-1][1])
        for number, gop in reversed(gops[:-1]):
            size += _size(gop)
            if newest_ms - gop[0].dts_ms > self._back_ms or size > MOST_BEHIND_BYTES:
                break
            first = number
        return first


def _is_too_much(gops: tuple[tuple[int, tuple[AccessUnit, ...]], ...]) -> bool:
    behind_ms = gops[-1][1][-1].dts_ms - gops[0][1][0].dts_ms
    return behind_ms > MOST_BEHIND_MS or sum(_size(gop) for _, gop in gops) > MOST_BEHIND_BYTES


def _size(gop: tuple[AccessUnit, ...]) -> int:
    return sum(len(unit.data) for unit in gop)
