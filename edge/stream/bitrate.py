"""Detects jumps of the bitrate: signs of motion in compressed units that are not decoded. Pure.

An encoder spends bytes on what changes. Between the bursts of the calm tier, the sizes of skipped units are
all that is known of a stream, and they cost nothing. When units become much larger than before, the frame
has begun to move. When one unit is much larger than any before, the scene has changed. In both cases the
stream deserves denser samples before its next keyframe.
"""

from __future__ import annotations

import math
from collections import deque

SHORT_MS = 300
"""Media time whose median unit size is the current one. A single large unit is no motion."""
LONG_MS = 5_000
"""Time constant of the usual unit size."""
SETTLE_MS = 2_000
"""Media time before the first jump can be reported."""
MIN_UNIT_BYTES = 256
"""Smaller units say nothing about motion. In a still frame they hold only rounding errors."""
LARGEST_MS = 10_000
"""Time constant in which the largest unit is forgotten.

Units that are large every few seconds, as in a periodic refresh, are no scene change."""
MIN_FRAME_BYTES = 1024
"""No unit smaller than this times the ratio is a scene change."""
HIDES_RATIO = 1.5
"""A bitrate hides what it shows while no recent unit is larger than this times the usual one."""
_MAX_UNITS = 64


class BitrateJump:
    """Detects the jumps of one stream. Keyframes do not count, because their size says nothing about
    motion."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, int]] = deque(maxlen=_MAX_UNITS)
        self._usual: float | None = None
        self._largest = 0.0
        self._start_ms: int | None = None
        self._last_ms = 0
        self._told_ms: int | None = None

    @property
    def hides(self) -> bool:
        """Whether all units are about as large. A new scene then makes them no larger, but only worse."""
        settled = self._start_ms is not None and self._last_ms - self._start_ms >= SETTLE_MS
        return settled and self._largest <= HIDES_RATIO * (self._usual or 0.0)

    def add_unit(self, dts_ms: int, size: int, ratio: float) -> bool:
        """Takes the next unit that is no keyframe. Returns whether the bitrate jumps.

        It jumps when units are now ``ratio`` times as large as before, or this one is ``ratio`` times the
        largest recent one. A jump is reported once: the new size is the usual one from then on.
        """
        if self._start_ms is None:
            self._start_ms = self._last_ms = dts_ms
        step_ms, self._last_ms = max(dts_ms - self._last_ms, 0), dts_ms
        grown = self._outgrows(size, step_ms, ratio)
        self._recent.append((dts_ms, size))
        while self._recent[0][0] <= dts_ms - SHORT_MS:
            self._recent.popleft()
        sizes = sorted(item[1] for item in self._recent)
        now = sizes[len(sizes) // 2]
        usual = float(now) if self._usual is None else self._usual
        settled = dts_ms - self._start_ms >= SETTLE_MS
        if settled and len(sizes) >= 3 and now >= ratio * max(usual, MIN_UNIT_BYTES):
            self._usual = float(now)
            # A scene change that goes on moving was already reported.
            return self._told_ms is None or dts_ms - self._told_ms > SHORT_MS
        # At first a plain mean, because the first units of a stream are often smaller than usual.
        elapsed_ms = max(dts_ms - self._start_ms, 1)
        self._usual = usual + (now - usual) * max(
            1 - math.exp(-step_ms / LONG_MS), min(step_ms / elapsed_ms, 1)
        )
        if settled and grown:
            self._told_ms = dts_ms
        return settled and grown

    def _outgrows(self, size: int, step_ms: int, ratio: float) -> bool:
        """Whether a unit is ``ratio`` times as large as the largest recent one. Updates the largest."""
        largest = self._largest * math.exp(-step_ms / LARGEST_MS)
        self._largest = max(largest, float(size))
        return size >= ratio * max(largest, MIN_FRAME_BYTES)
