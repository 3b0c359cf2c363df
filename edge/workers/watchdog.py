"""Measures how long a worker has been silent, or in one job, while the supervisor ran. Pure.

The supervisor itself may stand still, when its machine is paused or gives it no processor. Afterwards its
view of the workers is stale: they were not pinged, or their answers were not read. So time counts in the
supervisor's own beats, and a late beat counts as one in time.
"""

from __future__ import annotations

_LATE = 2.0
"""Most beats that one late beat counts for."""


class Watchdog:
    """Watchdog of one worker. ``beat`` is called at regular intervals."""

    def __init__(self) -> None:
        self.silent_ms = 0.0
        """Watched time since the worker was last heard."""
        self.job_ms = 0.0
        """Watched time in the worker's current job; 0 when it is idle."""
        self._heard = True
        self._job: float | None = None

    def heard(self) -> None:
        """Records that the worker said something."""
        self._heard = True
        self.silent_ms = 0.0

    def beat(self, passed_ms: float, every_ms: float, job_since_ms: float | None, now_ms: float) -> None:
        """Counts a beat.

        ``passed_ms`` is the time since the last beat, ``every_ms`` the interval between beats.
        ``job_since_ms`` is when the current job began, by the clock of ``now_ms``, or None when the worker
        is idle.
        """
        counted_ms = min(passed_ms, _LATE * every_ms)
        self.silent_ms = 0.0 if self._heard else self.silent_ms + counted_ms
        self._heard = False
        if job_since_ms is None:
            self.job_ms = 0.0
        elif job_since_ms == self._job:
            self.job_ms += counted_ms
        else:
            self.job_ms = min(max(0.0, now_ms - job_since_ms), counted_ms)
        self._job = job_since_ms
