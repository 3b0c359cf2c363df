"""Detects steps of the wall clock by comparing it with the monotonic clock. Pure."""

from __future__ import annotations

STEP_MS = 60_000.0
"""A deviation above this is a step. NTP corrections and short pauses of the machine stay below it."""
WAIT_MS = 600_000.0
"""Time that the clock must run evenly before it is trusted, after a step and at the start. Many machines
start with a wrong clock that is corrected a little later."""
LONGEST_WAIT_MS = 86_400_000.0
_SLEW = 0.001
"""Largest lasting drift of the wall clock against the monotonic one, as a share: twice what NTP slews."""


class ClockJumps:
    """Compares the two clocks at each call of ``look``.

    A lasting step forward is trusted once as much time has passed as the step was long, but after a day at
    the most. By then a suspended machine has slept through that time, and a wrong clock has been corrected.
    A step that is undone, or a step back, is trusted after ten minutes.
    """

    def __init__(self, wall_ms: int, monotonic_ms: float) -> None:
        self._going = wall_ms - monotonic_ms
        """Estimated wall minus monotonic time, milliseconds."""
        self._trusted = self._going
        """The same when the wall clock was trusted last."""
        self._looked_ms = monotonic_ms
        self._stepped_ms = monotonic_ms

    def look(self, wall_ms: int, monotonic_ms: float) -> float:
        """Milliseconds by which the wall clock has stepped since the last call. Negative means back, 0.0 no
        step."""
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
        """Milliseconds until the wall clock can be trusted, 0.0 if it can now. As of the last ``look``."""
        ahead = self._going - self._trusted
        wait = max(WAIT_MS, min(ahead, LONGEST_WAIT_MS))
        return max(0.0, self._stepped_ms + wait - self._looked_ms)
