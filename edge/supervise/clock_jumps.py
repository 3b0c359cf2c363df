"""Whether the wall clock can be trusted: it should go on as the monotonic one does. Pure."""

from __future__ import annotations

STEP_MS = 60_000.0
"""A wall clock that is further than this from where it was going has stepped. What NTP corrects, and what a
machine that pauses for a moment misses, is less."""
WAIT_MS = 600_000.0
"""A clock must go on evenly for so long before it is trusted: after a step, and at the start, since many
machines start with a wrong clock and are put right a little later."""
LONGEST_WAIT_MS = 86_400_000.0
_SLEW = 0.001
"""Share by which a wall clock may be faster or slower than the monotonic one without end: twice what NTP
slews."""


class ClockJumps:
    """Compares the clocks at every look.

    A step ahead that is not undone is trusted when as much time has gone by as it was long, a day at the
    most: a machine that was suspended has missed that time, and one with a wrong clock has been put right
    by then. A step that is undone, and one back, is trusted after ten minutes.
    """

    def __init__(self, wall_ms: int, monotonic_ms: float) -> None:
        self._going = wall_ms - monotonic_ms
        """Wall minus monotonic time, as far as is known."""
        self._trusted = self._going
        """The same when the wall clock was trusted last."""
        self._looked_ms = monotonic_ms
        self._stepped_ms = monotonic_ms

    def look(self, wall_ms: int, monotonic_ms: float) -> float:
        """Milliseconds by which the wall clock has stepped since the last look: back if negative, or 0.0."""
        step = wall_ms - monotonic_ms - self._going
        slewed = (monotonic_ms - self._looked_ms) * _SLEW
        self._looked_ms = monotonic_ms
        if abs(step) > STEP_MS:
            self._going += step
            self._stepped_ms = monotonic_ms
            return step
        self._going += max(-slewed, min(step, slewed))
        if self.wait_ms == 0.0:
            self._trusted = self._going
        return 0.0

    @property
    def wait_ms(self) -> float:
        """Until the wall clock can be trusted; 0.0 when it can. As of the last look."""
        ahead = self._going - self._trusted
        wait = max(WAIT_MS, min(ahead, LONGEST_WAIT_MS))
        return max(0.0, self._stepped_ms + wait - self._looked_ms)
