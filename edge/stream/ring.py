"""Keeps the last seconds of a stream compressed, for evidence and for restarts at the last keyframe."""

from __future__ import annotations

from collections import deque

from edge.domain import AccessUnit


class Ring:
    """Access units of whole GOPs, bounded in media time and in bytes.

    The ring always starts at a keyframe. The oldest GOPs go first. The newest GOP may be longer than
    ``ring_ms``, and is kept while it fits into ``ring_bytes``. A single GOP over ``ring_bytes`` is dropped.
    The ring is then empty until the next keyframe.
    """

    def __init__(self, ring_ms: int, ring_bytes: int) -> None:
        self._ring_ms = ring_ms
        self._ring_bytes = ring_bytes
        self._gops: deque[list[AccessUnit]] = deque()
        self._gop_bytes: deque[int] = deque()
        self._appended = 0
        self.bytes = 0
        """Current size of the payload."""
        self.overflows = 0
        """Number of single GOPs that were dropped because they exceeded ``ring_bytes``."""

    def append(self, unit: AccessUnit) -> None:
        """Adds a unit in decoding order. Units before the first keyframe are not kept."""
        size = len(unit.data)
        if unit.keyframe:
            self._gops.append([])
            self._gop_bytes.append(0)
        elif not self._gops:
            return
        self._gops[-1].append(unit)
        self._appended += 1
        self._gop_bytes[-1] += size
        self.bytes += size
        self._trim(unit.dts_ms)

    def units(self) -> tuple[AccessUnit, ...]:
        """Returns all units in decoding order. The first one, if any, is a keyframe."""
        return tuple(unit for gop in self._gops for unit in gop)

    def newest_gop(self) -> tuple[AccessUnit, ...]:
        """Returns the units from the newest keyframe on."""
        return tuple(self._gops[-1]) if self._gops else ()

    def gops_after(self, number: int) -> tuple[tuple[int, tuple[AccessUnit, ...]], ...]:
        """Returns what is held of each GOP from the unit of this number on, oldest first, with the number of
        its first unit there. Units are numbered from 0 in the order in which they were appended."""
        found: list[tuple[int, tuple[AccessUnit, ...]]] = []
        end = self._appended
        for gop in reversed(self._gops):
            begin = end - len(gop)
            if end <= number:
                break
            found.append((max(begin, number), tuple(gop[max(number - begin, 0) :])))
            end = begin
        return tuple(reversed(found))

    @property
    def oldest_ms(self) -> int | None:
        """Dts of the oldest unit. None while there is none."""
        return self._gops[0][0].dts_ms if self._gops else None

    def resize(self, ring_ms: int, ring_bytes: int) -> None:
        """Sets new bounds, which apply from the next unit on."""
        self._ring_ms = ring_ms
        self._ring_bytes = ring_bytes

    def __len__(self) -> int:
        return sum(len(gop) for gop in self._gops)

    def _trim(self, now_dts_ms: int) -> None:
        while len(self._gops) > 1 and (
            self.bytes > self._ring_bytes or self._gops[1][0].dts_ms <= now_dts_ms - self._ring_ms
        ):
            self._drop_oldest()
        if self.bytes > self._ring_bytes:
            self._drop_oldest()
            self.overflows += 1

    def _drop_oldest(self) -> None:
        self._gops.popleft()
        self.bytes -= self._gop_bytes.popleft()
