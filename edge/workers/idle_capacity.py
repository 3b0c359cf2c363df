"""How much of the calm streams a worker looks at densely while it has time to spare. Pure.

Each GOP of a calm stream costs its first sample. What a worker has left over goes to all of its calm streams
alike: the first so many milliseconds of each GOP are looked at densely. The share of time that may be spent
so is bounded, because the ingest server next door wants its cores, too; and it is given back at once when
anything had to give way.
"""

from __future__ import annotations

UPDATE_MS = 1000.0
LEAST_MS = 600
"""Less than this buys no sample beyond the calm one."""
MOST_MS = 3000
STEP_MS = 200
"""Steps in which it changes: callers are told what media is wanted, and need not be told of trifles."""
SETTLE_UPDATES = 3
"""Updates until a change shows in full: it takes effect with the GOPs that come."""
_FORGET = 0.98
_BACK_OFF_UPDATES = 3


class IdleCapacity:
    """State of one worker. ``target``: share of its time, 0 to 1, up to which it takes on more than it must;
    0 never does."""

    def __init__(self, target: float) -> None:
        self._target = target
        self._cost: float | None = None
        """Share of the worker's time that a millisecond of it takes."""
        self._due: float | None = None
        """Share of the time that is due to streams, smoothed: keyframes come in waves."""
        self._steady = 0
        self._seen: tuple[float, float, float, int] | None = None
        self.ms = 0
        """Media time of each GOP to look at densely."""

    def due(self, now_ms: float) -> bool:
        """Whether it is time for ``update``."""
        return self._seen is None or now_ms - self._seen[0] >= UPDATE_MS

    def update(self, now_ms: float, busy_ms: float, voluntary_ms: float, gave_way: int) -> bool:
        """Takes the worker's running totals: time in jobs, the part of it that was voluntary, and how often
        something had to give way or was shed. Whether ``ms`` has changed."""
        seen, self._seen = self._seen, (now_ms, busy_ms, voluntary_ms, gave_way)
        if seen is None or self._target <= 0:
            return False
        passed_ms = max(now_ms - seen[0], 1.0)
        opportunistic = (voluntary_ms - seen[2]) / passed_ms
        due = (busy_ms - seen[1]) / passed_ms - opportunistic
        self._due = due if self._due is None else (self._due + due) / 2
        was = self.ms
        self._steady += 1
        if busy_ms == seen[1]:
            # It has no streams: when some come, all of them at once perhaps, there is nothing to spare.
            self.ms, self._steady, self._cost = 0, 0, None
        elif gave_way > seen[3]:
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
            self._cost *= _FORGET  # streams come and go: try again some time

    def _goal(self, room: float) -> int:
        if room <= 0:
            return 0
        if self._cost is None:
            return self.ms or LEAST_MS
        return self._stepped(room / self._cost)

    def _stepped(self, ms: float) -> int:
        stepped = int(min(ms, MOST_MS) // STEP_MS) * STEP_MS
        return stepped if stepped >= LEAST_MS else 0
