"""Earliest deadline first, over jobs keyed by stream. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

Job = TypeVar("Job")


class DeadlineQueue(Generic[Job]):
    """A heap of jobs; equal deadlines leave in order of arrival. Keys can be dropped whole."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, Job]] = []
        self._sequence = 0
        self._dropped: dict[str, int] = {}
        self._live: dict[str, int] = {}

    def push(self, key: str, deadline_ms: float, job: Job) -> None:
        heapq.heappush(self._heap, (deadline_ms, self._sequence, key, job))
        self._live[key] = self._live.get(key, 0) + 1
        self._sequence += 1

    def pop(self) -> tuple[str, float, Job] | None:
        """The job with the earliest deadline, or None when there is none."""
        while self._heap:
            deadline_ms, sequence, key, job = heapq.heappop(self._heap)
            if sequence < self._dropped.get(key, 0):
                continue
            left = self._live[key] - 1
            if left:
                self._live[key] = left
            else:
                del self._live[key]
                self._dropped.pop(key, None)
            return key, deadline_ms, job
        return None

    def drop(self, key: str) -> int:
        """Forget every job of a key; returns how many there were."""
        count = self._live.pop(key, 0)
        if count:
            self._dropped[key] = self._sequence
        if len(self._heap) > 64 and 2 * len(self) < len(self._heap):
            self._heap = list(self._remaining())
            heapq.heapify(self._heap)
            self._dropped.clear()
        return count

    def _remaining(self) -> Iterator[tuple[float, int, str, Job]]:
        return (item for item in self._heap if item[1] >= self._dropped.get(item[2], 0))

    def __len__(self) -> int:
        return sum(self._live.values())
