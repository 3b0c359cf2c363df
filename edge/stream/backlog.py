"""The units of the running GOP that calm tier has not decoded. Pure."""

from __future__ import annotations

from collections import deque

from edge.domain import AccessUnit


class Backlog:
    """Units in decoding order, in step with the sampler's count of them."""

    def __init__(self) -> None:
        self.skipped = 0
        """Units that came and were not decoded, or not yet."""
        self._units: deque[AccessUnit] = deque()
        self._bytes = 0
        self._decoded = 0

    def add(self, unit: AccessUnit, limit_bytes: int) -> bool:
        """Takes the newest unit. False when the backlog passes its bytes: then it is empty, and there is no
        way back into this GOP."""
        self.skipped += 1
        self._units.append(unit)
        self._bytes += len(unit.data)
        if self._bytes > limit_bytes:
            self.clear()
            return False
        return True

    def put_back(self, units: list[AccessUnit]) -> None:
        """Units that were decoded and are references for what follows, after the decoder was emptied."""
        self.clear()
        self._units.extend(units)
        self._bytes = sum(len(unit.data) for unit in units)
        self._decoded = len(units)

    def take(self, count: int) -> list[AccessUnit]:
        """The oldest units, to be decoded now."""
        units = [self._units.popleft() for _ in range(count)]
        self._bytes -= sum(len(unit.data) for unit in units)
        again = min(count, self._decoded)
        self._decoded -= again
        self.skipped -= count - again
        return units

    def clear(self) -> None:
        """The GOP is over, or cannot be gone back into."""
        self._units.clear()
        self._bytes = self._decoded = 0
