"""Sums of what all workers measured, as Prometheus histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from edge.telemetry.distributions import BOUNDS_MS, STAGES, Distribution


class WorkerHistograms(Collector):
    """Sums over all workers since the gate started, as a Prometheus collector."""

    def __init__(self) -> None:
        self._sums = {name: Distribution(bounds) for name, bounds in BOUNDS_MS.items()}

    def add_counts(self, name: str, counts: Sequence[int], sum_ms: float) -> None:
        """Adds the counts of one worker. Ignores an unknown measure or a wrong number of buckets."""
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
            "edge_queue_age_ms", "Time from the arrival of an access unit to its decoding."
        )
        queue.add_metric([], *self._of("queue"))
        yield queue
        blind = HistogramMetricFamily("edge_blind_ms", "Media time between judged samples of a stream.")
        blind.add_metric([], *self._of("blind"))
        yield blind

    def _of(self, name: str) -> tuple[list[tuple[str, float]], float]:
        """Returns cumulative counts by upper bound, and the sum in ms."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS_MS[name]), "+Inf"), self._sums[name].counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sums[name].sum_ms
