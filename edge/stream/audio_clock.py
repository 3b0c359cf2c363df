"""Says when each frame of a stream's audio begins. Pure: stamps and lengths in, media time out.

Samples say how long audio is, whatever its stamps say. So a frame continues the one before, unless its stamp
leaves a gap. Many gaps are no gaps: then stamps no longer count.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from edge.match import GAP_MS
from edge.timestamps import Timestamps

_MOST_GAPS: Final = 4.0
"""Most gaps in a row that are believed. More are no gaps: each would begin all that listens anew."""
_FORGET: Final = 1 / 500
"""Part of a gap that a frame without one makes up for."""
_FOLLOW: Final = 1 / 64
"""Share of a smaller deviation by which the clock is corrected. The clocks of sound cards drift."""


class AudioTime(NamedTuple):
    """Where a frame lies."""

    start_ms: float
    restarted: bool
    """Whether it does not continue the frame before."""


class AudioClock:
    """The clock of one stream's audio. Call ``unit_time`` for each encoded frame, ``frame_time`` for each
    decoded one."""

    def __init__(self) -> None:
        self.untimed = False
        """The stamps say nothing: each frame follows the one before."""
        self._timestamps = Timestamps()
        self._end_ms: float | None = None
        self._gaps = 0.0

    def unit_time(self, pts_ms: int) -> int:
        """Returns the media time of an encoded frame. It only goes forward."""
        return self._timestamps.advance(pts_ms, pts_ms)[0]

    def frame_time(self, pts_ms: float, length_ms: float) -> AudioTime:
        """Returns when a decoded frame begins."""
        if self._end_ms is None:
            self._end_ms = pts_ms + length_ms
            return AudioTime(pts_ms, True)
        follows = abs(pts_ms - self._end_ms) <= GAP_MS
        self._gaps = self._gaps + 1 if not follows else max(0.0, self._gaps - _FORGET)
        self.untimed = self.untimed or self._gaps > _MOST_GAPS
        if self.untimed or pts_ms < self._end_ms - GAP_MS:  # what was heard before cannot be heard again
            start_ms, restarted = self._end_ms, False
        elif follows:
            start_ms, restarted = self._end_ms + (pts_ms - self._end_ms) * _FOLLOW, False
        else:
            start_ms, restarted = pts_ms, True
        self._end_ms = start_ms + length_ms
        return AudioTime(start_ms, restarted)
