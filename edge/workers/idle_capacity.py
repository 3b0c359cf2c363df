"""Decides how much of the calm streams an idle worker samples densely. Pure.

Each GOP of a calm stream costs its first sample. A worker with idle time samples the first ``ms``
milliseconds of each GOP densely, the same for all of its calm streams. The share of time for this is
bounded, because the ingest server beside the gate needs its cores too. The worker gives the time back at
once when opportunistic work was preempted.
"""

from __future__ import annotations

UPDATE_MS = 1000.0
LEAST_MS = 600
"""Least ``ms`` that buys a sample beyond the calm one."""
MOST_MS = 3000
STEP_MS = 200
"""Step of ``ms``. Each change is told to callers, so small ones are left out."""
SETTLE_UPDATES = 3
"""Updates until a change shows in full. It takes effect with the next GOPs."""
_FORGET = 0.98
_BACK_OFF_UPDATES = 3


class IdleCapacity:
    """State of one worker.

    ``target`` is the busy share of its time, 0 to 1, up to which it takes on opportunistic work; 0 turns
    that off.
    """

    def __init__(self, target: float) -> None:
        self._target = target
        self._cost: float | None = None
        """Share of the worker's time that one millisecond of ``ms`` costs."""
        self._due: float | None = None
        """Share of the time that due work takes. Smoothed, because keyframes come in waves."""
        self._steady = 0
        self._seen: tuple[float, float, float, int] | None = None
        self.ms = 0
        """Media time at the start of each GOP to sample densely, in milliseconds."""

    def due(self, now_ms: float) -> bool:
        """Returns whether it is time for ``update``."""
        return self._seen is None or now_ms - self._seen[0] >= UPDATE_MS

    def update(self, now_ms: float, busy_ms: float, opportunistic_ms: float, preempted: int) -> bool:
        """Updates ``ms`` from the worker's running totals. Returns whether it has changed.

        ``busy_ms`` is the time in jobs and ``opportunistic_ms`` its opportunistic part. ``preempted`` is
        how often opportunistic work was preempted or a sample was shed.
        """
        seen, self._seen = self._seen, (now_ms, busy_ms, opportunistic_ms, preempted)
        if seen is None or self._target <= 0:
            return False
        passed_ms = max(now_ms - seen[0], 1.0)
        opportunistic = (opportunistic_ms - seen[2]) / passed_ms
        due = (busy_ms - seen[1]) / passed_ms - opportunistic
        self._due = due if self._due is None else (self._due + due) / 2
        was = self.ms
        self._steady += 1
        if busy_ms == seen[1]:
            # The worker has no streams. Many may come at once, and then there is no idle time.
            self.ms, self._steady, self._cost = 0, 0, None
        elif preempted > seen[3]:
            self._steady = -_BACK_OFF_UPDATES
            self.ms = self._stepped(self.ms / 2)
        else:
            self._learn(opportunistic)
            goal = self._goal(self._target - self._due)
            if goal < self.ms or (goal > self.ms and self._steady >= SETTLE_UPDATES):
                self.ms = goal
        if self.ms != was:
            self._steady = min(self._steady, 0)
        return self.ms != was

    def _learn(self, opportunistic: float) -> None:
        if self.ms and opportunistic > 0 and self._steady >= SETTLE_UPDATES:
            self._cost = opportunistic / self.ms
        elif not self.ms and self._cost is not None:
            self._cost *= _FORGET  # streams come and go: try again after a while

    def _goal(self, room: float) -> int:
        if room <= 0:
            return 0
        if self._cost is None:
            return self.ms or LEAST_MS
        return self._stepped(room / self._cost)

    def _stepped(self, ms: float) -> int:
        stepped = int(min(ms, MOST_MS) // STEP_MS) * STEP_MS
        return stepped if stepped >= LEAST_MS else 0
