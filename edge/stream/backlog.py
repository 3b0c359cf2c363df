"""Keeps the units of the current GOP that the calm tier has not decoded. Pure."""

from __future__ import annotations

from collections import deque

from edge.domain import AccessUnit


class Backlog:
    """Units in decoding order. Their number matches the sampler's count."""

    def __init__(self) -> None:
        self.skipped = 0
        """Number of units that were not decoded, or not yet."""
        self._units: deque[AccessUnit] = deque()
        self._bytes = 0
        self._decoded = 0

    def add_unit(self, unit: AccessUnit, limit_bytes: int) -> bool:
        """Adds the newest unit. Returns False when the backlog exceeds its limit in bytes.

        It is then empty, and the rest of this GOP cannot be decoded.
        """
        self.skipped += 1
        self._units.append(unit)
        self._bytes += len(unit.data)
        if self._bytes > limit_bytes:
            self.clear()
            return False
        return True

    def put_back(self, units: list[AccessUnit]) -> None:
        """Puts decoded units back after the decoder was drained. Later units refer to them."""
        self.clear()
        self._units.extend(units)
        self._bytes = sum(len(unit.data) for unit in units)
        self._decoded = len(units)

    def take(self, count: int) -> list[AccessUnit]:
        """Removes and returns the oldest units, to be decoded now."""
        units = [self._units.popleft() for _ in range(count)]
        self._bytes -= sum(len(unit.data) for unit in units)
        again = min(count, self._decoded)
        self._decoded -= again
        self.skipped -= count - again
        return units

    def clear(self) -> None:
        """Empties the backlog, because the GOP is over or can no longer be decoded."""
        self._units.clear()
        self._bytes = self._decoded = 0
