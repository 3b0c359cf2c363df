"""Chooses the access units for the gate: as dense as its tier asks, and always decodable. Pure."""

from __future__ import annotations

from edge.domain import AccessUnit, Tier
from edge.ingest.settings import ITEM_BYTES


class GateFeed:
    """Keeps the current GOP, so a gate that turns alert or comes back gets all of it.

    The gate always has a prefix of each GOP, which begins with the keyframe. A GOP over ``max_gop_bytes`` is
    not kept: the gate gets all of it at once, whatever its tier. A new call in mid-GOP then sees the stream
    again from the next keyframe. ``skipped`` counts the units that the gate misses.
    """

    def __init__(self, max_gop_bytes: int) -> None:
        self._max_gop_bytes = max_gop_bytes
        self._gop: list[AccessUnit] = []
        self._bytes = 0
        self._offered = 0
        self._kept = False
        self._following = False
        self._tier = Tier.ALERT
        self._needed_ms = 0
        self.skipped = 0

    @property
    def tier(self) -> Tier:
        return self._tier

    @property
    def following(self) -> bool:
        """Whether the gate has the newest unit, or gets it as soon as it needs it."""
        return self._following

    def push(self, unit: AccessUnit) -> tuple[AccessUnit, ...]:
        """Returns the units that the gate needs now that ``unit`` has arrived."""
        if unit.keyframe:
            self._gop, self._bytes, self._offered = [], 0, 0
            self._kept = self._following = True
        if not self._following:
            self.skipped += 1
            return ()
        if not self._kept:
            return (unit,)  # the gate has all units before this one
        self._gop.append(unit)
        self._bytes += len(unit.data) + ITEM_BYTES
        if self._bytes > self._max_gop_bytes:
            due = tuple(self._gop[self._offered :])
            self._gop, self._offered, self._kept = [], 0, False
            return due
        return self._due()

    def change(self, tier: Tier, needed_after_keyframe_ms: int) -> tuple[AccessUnit, ...]:
        """Sets the density that the gate asks for. Returns the units of the current GOP that it needs now."""
        self._tier, self._needed_ms = tier, needed_after_keyframe_ms
        return self._due()

    def restart(self) -> tuple[AccessUnit, ...]:
        """Starts over for a new Watch call. Returns the units of the current GOP that the gate needs now."""
        self._offered = 0
        if not self._kept:
            self._following = False
        return self._due()

    def forget(self) -> None:
        """Drops the current GOP: units under another decoder configuration follow."""
        self._gop, self._bytes, self._offered = [], 0, 0
        self._kept = self._following = False

    def _due(self) -> tuple[AccessUnit, ...]:
        first = self._offered
        while self._offered < len(self._gop) and self._needed(self._gop[self._offered], self._gop[0].dts_ms):
            self._offered += 1
        return tuple(self._gop[first : self._offered])

    def _needed(self, unit: AccessUnit, keyframe_dts_ms: int) -> bool:
        return self._tier is Tier.ALERT or unit.dts_ms - keyframe_dts_ms <= self._needed_ms
