"""How measured times are spread: counted where the work is done, added up where Prometheus asks.

A worker counts into plain lists and hands them over with its answer to a ping, so that measuring costs it
next to nothing and the supervisor one addition a bucket and second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

_STAGE_MS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_QUEUE_MS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 150.0, 250.0, 500.0, 1000.0)
_BLIND_MS: Final = (250.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 5000.0, 10_000.0)

STAGES: Final = ("decode", "convert", "detect", "hash", "decide")
"""Decode: one access unit. Convert: one frame to a plane. The rest: one sample."""
BOUNDS_MS: Final[Mapping[str, tuple[float, ...]]] = {
    **dict.fromkeys(STAGES, _STAGE_MS),
    "queue": _QUEUE_MS,
    "blind": _BLIND_MS,
}
"""Upper bounds of the buckets, by what is measured; values over the last have a bucket of their own."""


class Distribution:
    """Counts of one measure."""

    __slots__ = ("_bounds", "counts", "sum_ms")

    def __init__(self, bounds_ms: tuple[float, ...]) -> None:
        self._bounds = bounds_ms
        self.counts = [0] * (len(bounds_ms) + 1)
        self.sum_ms = 0.0

    def add(self, ms: float) -> None:
        self.counts[bisect_left(self._bounds, ms)] += 1
        self.sum_ms += ms


class Distributions:
    """What one worker measures. ``queue``: from the arrival of an access unit that is to be decoded to its
    turn. ``blind``: media time between samples that were judged."""

    def __init__(self) -> None:
        self._clear()

    def take(self) -> list[tuple[str, list[int], float]]:
        """Name, counts and sum of each measure that has any, since this was asked last."""
        taken = [(name, one.counts, one.sum_ms) for name, one in self._all.items() if any(one.counts)]
        self._clear()
        return taken

    def _clear(self) -> None:
        self._all = {name: Distribution(bounds) for name, bounds in BOUNDS_MS.items()}
        self.decode, self.convert = self._all["decode"], self._all["convert"]
        self.detect, self.hash, self.decide = self._all["detect"], self._all["hash"], self._all["decide"]
        self.queue, self.blind = self._all["queue"], self._all["blind"]


class MeasuredByWorkers(Collector):
    """The sum over all workers since the gate started, as Prometheus histograms."""

    def __init__(self) -> None:
        self._sums = {name: Distribution(bounds) for name, bounds in BOUNDS_MS.items()}

    def add(self, name: str, counts: Sequence[int], sum_ms: float) -> None:
        """Takes what one worker counted. What no worker of this version says is left out."""
        known = self._sums.get(name)
        if known is None or len(counts) != len(known.counts) or min(counts) < 0:
            return
        known.counts = [a + b for a, b in zip(known.counts, counts, strict=True)]
        known.sum_ms += sum_ms

    def collect(self) -> Iterator[HistogramMetricFamily]:
        stages = HistogramMetricFamily("edge_stage_ms", "Time in one stage of judging.", labels=["stage"])
        for stage in STAGES:
            stages.add_metric([stage], *self._of(stage))
        yield stages
        queue = HistogramMetricFamily(
            "edge_queue_age_ms", "Arrival of an access unit that is to be decoded to its turn in the worker."
        )
        queue.add_metric([], *self._of("queue"))
        yield queue
        blind = HistogramMetricFamily("edge_blind_ms", "Media time between judged samples of a stream.")
        blind.add_metric([], *self._of("blind"))
        yield blind

    def _of(self, name: str) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by upper bound, and the sum."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS_MS[name]), "+Inf"), self._sums[name].counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sums[name].sum_ms
