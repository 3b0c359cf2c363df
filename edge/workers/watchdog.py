"""For how long a worker has been silent, and at one job, while somebody watched. Pure.

The supervisor can stand still itself: its machine is paused, or has no processor for it. What it finds
afterwards is old, and says nothing of its workers: they were not asked, or had answered and were not read.
So time counts in beats of the supervisor's own, and a beat that comes late counts as one that came in time.
"""

from __future__ import annotations

_LATE = 2.0
"""Beats that one beat counts for at most, however late it is."""


class Watchdog:
    """Of one worker; ``beat`` is called at about the same intervals."""

    def __init__(self) -> None:
        self.silent_ms = 0.0
        """Time that was watched since the worker was last heard."""
        self.job_ms = 0.0
        """Time that was watched since it began the job that it is at; 0 when it is at none."""
        self._heard = True
        self._job: float | None = None

    def heard(self) -> None:
        """The worker said something."""
        self._heard = True
        self.silent_ms = 0.0

    def beat(self, passed_ms: float, every_ms: float, job_since_ms: float | None, now_ms: float) -> None:
        """``passed_ms`` since the last beat, of which there is to be one in ``every_ms``. ``job_since_ms``:
        when it began the job that it is at, by the clock of ``now_ms``; None when it is at none."""
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
