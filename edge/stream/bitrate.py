"""A jump of the bitrate: motion seen in the compressed stream, where nothing is decoded. Pure.

An encoder spends bytes on what changes. Between the bursts of calm tier the sizes of the skipped units are
all that is known of a stream, and they cost nothing. When units become much larger than they were, the
picture has begun to move; when a single one is much larger than any before, the picture is another one.
Either way the stream is worth a denser look before its next keyframe.
"""

from __future__ import annotations

import math
from collections import deque

SHORT_MS = 300
"""Time whose median unit stands for now: one large unit alone is no motion."""
LONG_MS = 5_000
"""Time constant of what the stream was like before."""
SETTLE_MS = 2_000
"""Media time before a first jump can be told."""
MIN_UNIT_BYTES = 256
"""Units smaller than this say nothing about motion: a picture that stands still is all rounding."""
LARGEST_MS = 10_000
"""Time constant in which the largest unit so far is forgotten: what comes every few seconds, as large units
of a periodic refresh do, is no new picture."""
MIN_PICTURE_BYTES = 1024
"""No unit smaller than this, times the ratio, is a new picture."""
_MAX_UNITS = 64


class BitrateJump:
    """State of one stream. Keyframes do not count: their size says nothing about motion."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, int]] = deque(maxlen=_MAX_UNITS)
        self._usual: float | None = None
        self._largest = 0.0
        self._start_ms: int | None = None
        self._last_ms = 0
        self._told_ms: int | None = None

    def add(self, dts_ms: int, size: int, ratio: float) -> bool:
        """Takes the next unit that is no keyframe; whether units are now ``ratio`` times as large as they
        were, or this one as the largest of late. A jump is told once: what it jumped to is usual from then
        on."""
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
            # A new picture that moves was told when it came.
            return self._told_ms is None or dts_ms - self._told_ms > SHORT_MS
        # At first a plain mean: what a stream begins with is often smaller than what it is like.
        elapsed_ms = max(dts_ms - self._start_ms, 1)
        self._usual = usual + (now - usual) * max(
            1 - math.exp(-step_ms / LONG_MS), min(step_ms / elapsed_ms, 1)
        )
        if settled and grown:
            self._told_ms = dts_ms
        return settled and grown

    def _outgrows(self, size: int, step_ms: int, ratio: float) -> bool:
        """Whether a unit is ``ratio`` times as large as the largest of late; it may be that from now on."""
        largest = self._largest * math.exp(-step_ms / LARGEST_MS)
        self._largest = max(largest, float(size))
        return size >= ratio * max(largest, MIN_PICTURE_BYTES)
