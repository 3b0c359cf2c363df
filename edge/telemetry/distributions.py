"""Distributions of measured times, counted in the worker that measures them.

A worker counts into plain lists and sends them with its answer to a ping. Measuring then costs it next to
nothing, and the supervisor one addition a bucket and second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

_STAGE_MS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_QUEUE_MS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 150.0, 250.0, 500.0, 1000.0)
_BLIND_MS: Final = (250.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 5000.0, 10_000.0)

STAGES: Final = ("decode", "convert", "detect", "hash", "decide", "picture")
"""Stages of judging. Decode is timed for each access unit, convert for each frame that is scaled, frame for
each single frame that the frame model judges, the rest for each sample."""
BOUNDS_MS: Final[Mapping[str, tuple[float, ...]]] = {
    **dict.fromkeys(STAGES, _STAGE_MS),
    "queue": _QUEUE_MS,
    "blind": _BLIND_MS,
}
"""Upper bounds of the buckets, by measure. Values over the last bound have a bucket of their own."""


class Distribution:
    """Counts and sum of one measure."""

    __slots__ = ("_bounds", "counts", "sum_ms")

    def __init__(self, bounds_ms: tuple[float, ...]) -> None:
        self._bounds = bounds_ms
        self.counts = [0] * (len(bounds_ms) + 1)
        self.sum_ms = 0.0

    def observe(self, ms: float) -> None:
        self.counts[bisect_left(self._bounds, ms)] += 1
        self.sum_ms += ms


class Distributions:
    """All measures of one worker.

    ``queue`` is the time from an access unit's arrival to its decoding. ``blind`` is the media time between
    judged samples.
    """

    def __init__(self) -> None:
        self._clear()

    def take(self) -> list[tuple[str, list[int], float]]:
        """Returns name, counts and sum in ms of each measure with values since the last call."""
        taken = [(name, one.counts, one.sum_ms) for name, one in self._all.items() if any(one.counts)]
        self._clear()
        return taken

    def _clear(self) -> None:
        self._all = {name: Distribution(bounds) for name, bounds in BOUNDS_MS.items()}
        self.decode, self.convert = self._all["decode"], self._all["convert"]
        self.detect, self.hash, self.decide = self._all["detect"], self._all["hash"], self._all["decide"]
        self.picture = self._all["picture"]
        self.queue, self.blind = self._all["queue"], self._all["blind"]
