"""Earliest deadline first, over jobs keyed by stream. Pure."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Job = TypeVar("Job")


class DeadlineQueue(Generic[Job]):
    """A heap of jobs. Equal deadlines leave in order of arrival. A key's jobs can be dropped."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, Job]] = []
        self._sequence = 0

    def push(self, key: str, deadline_ms: float, job: Job) -> None:
        heapq.heappush(self._heap, (deadline_ms, self._sequence, key, job))
        self._sequence += 1

    def pop(self) -> tuple[str, float, Job] | None:
        """Returns key, deadline and job of the earliest deadline, or None when the queue is empty."""
        if not self._heap:
            return None
        deadline_ms, _, key, job = heapq.heappop(self._heap)
        return key, deadline_ms, job

    def drop(self, key: str) -> int:
        """Drops all jobs of a key. Returns how many.

        Takes linear time, because streams end rarely.
        """
        kept = [item for item in self._heap if item[2] != key]
        dropped = len(self._heap) - len(kept)
        if dropped:
            heapq.heapify(kept)
            self._heap = kept
        return dropped

    def __len__(self) -> int:
        return len(self._heap)
