"""Converts the stamps of a stream to media time that only goes forward. Pure.

A caller that holds media back can apply the same rules to its own copy:

1. A fall of more than 2^31 is the wrap of a 32-bit clock: 2^32 is added from there on.
2. A fall of dts of at most ``JITTER_MS`` is jitter. Only that unit gets the last dts plus one, and a
   pts that is not before it.
3. Any larger fall, and a leap of more than ``LEAP_MS``, starts a new base. The stream continues
   ``NOMINAL_MS`` after the last dts, with the distances of the new stamps.
4. A pts further than ``REORDER_MS`` from its dts is wrong. The dts replaces it.

Each rule but the first counts its use with a reason. dts is strictly increasing. So media time and
watermark never go back, and a stream that always repeats one stamp still advances.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

MOST_MS: Final = 1 << 53
"""No stamp counts as further from 0. Sums of stamps then fit the messages that carry them."""
WRAP_MS = 1 << 32
JITTER_MS = 1_000
LEAP_MS = 6 * 3_600_000
REORDER_MS = 3_000
NOMINAL_MS = 40


def bounded_ms(stamp_ms: int) -> int:
    """A caller's stamp, or the nearest that counts."""
    return max(-MOST_MS, min(stamp_ms, MOST_MS))


class Timestamps:
    """Unwraps and rebases the stamps of one stream."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Number of corrections by reason: ``timestamp_jitter``, ``timestamp_back``, ``timestamp_leap``,
        ``timestamp_pts``."""
        self.rebased = 0
        """Number of new bases."""
        self._wraps = 0
        self._base = 0
        self._raw_dts: int | None = None
        self._dts = 0

    def advance(self, pts_ms: int, dts_ms: int) -> tuple[int, int]:
        """Returns the media time ``(pts_ms, dts_ms)`` of the next access unit in decoding order.

        pts lies at most ``REORDER_MS`` from dts.
        """
        if self._raw_dts is None:
            return self._first(pts_ms, dts_ms)
        if self._raw_dts - dts_ms > WRAP_MS // 2 and 0 <= dts_ms < WRAP_MS and self._raw_dts < WRAP_MS:
            self._wraps += 1
        self._raw_dts = dts_ms
        dts = dts_ms + self._wraps * WRAP_MS + self._base
        step = dts - self._dts
        if step > LEAP_MS or step < -JITTER_MS:
            self.counts["timestamp_leap" if step > 0 else "timestamp_back"] += 1
            self.rebased += 1
            self._base += self._dts + NOMINAL_MS - dts
            dts = self._dts + NOMINAL_MS
        pts = dts + self._offset(pts_ms, dts_ms)
        if dts <= self._dts:
            self.counts["timestamp_jitter"] += 1
            dts = self._dts + 1
            pts = max(pts, dts)
        self._dts = dts
        return pts, dts

    def unwrapped_pts_ms(self, pts_ms: int, dts_ms: int) -> int:
        """Returns the newest unit's own pts, in which only the wraps of a 32-bit clock are undone."""
        return dts_ms + self._wraps * WRAP_MS + _distance(pts_ms, dts_ms)

    def _first(self, pts_ms: int, dts_ms: int) -> tuple[int, int]:
        """Sets the base. A stream may start anywhere within 32 bits. Other start times become 0."""
        self._raw_dts = dts_ms
        if not -REORDER_MS <= dts_ms < WRAP_MS:
            self.counts["timestamp_leap"] += 1
            self._base = -dts_ms
        self._dts = dts_ms + self._base
        return self._dts + self._offset(pts_ms, dts_ms), self._dts

    def _offset(self, pts_ms: int, dts_ms: int) -> int:
        """Returns pts - dts. 0 where they are too far apart."""
        offset = _distance(pts_ms, dts_ms)
        if abs(offset) > REORDER_MS:
            self.counts["timestamp_pts"] += 1
            return 0
        return offset


def _distance(pts_ms: int, dts_ms: int) -> int:
    """Returns pts - dts. Only one of the two may have wrapped already."""
    offset = pts_ms - dts_ms
    if abs(offset) > WRAP_MS // 2:
        offset += WRAP_MS if offset < 0 else -WRAP_MS
    return offset
