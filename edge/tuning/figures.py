"""Figures of a set of outcomes, each with its 95 % interval. Pure.

Resampling finds no variation in a share of 0 or 1. So the exact binomial over the groups bounds such a
share. A rate also gets the exact Poisson interval, and the rule of three if there was no event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.intervals import (
    NOTHING,
    Interval,
    bootstrap_quantile,
    bootstrap_ratio,
    poisson,
    rate_upper_bound,
)
from edge.tuning.outcome import Outcome

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts from which figures are computed."""

    events: int
    flagged: int
    cut: int
    false_flags: int
    false_cuts: int
    calm_hours: float


@dataclass(frozen=True, slots=True)
class Figures:
    counts: Counts
    flag_recall: Interval
    """Share of violent stretches with a FLAG or CUT."""
    cut_recall: Interval
    flag_precision: Interval
    """Flagged violent stretches as a share of these plus the false flags."""
    cut_precision: Interval
    false_flags_per_hour: Interval
    """Per hour of calm footage."""
    false_cuts_per_hour: Interval
    flag_ms_median: Interval
    """Time from the beginning of a violent stretch to its FLAG, over the stretches that had one."""
    flag_ms_p95: Interval
    cut_ms_median: Interval
    cut_ms_p95: Interval
    alert_share: float
    """Share of all stream time spent in alert tier."""


def counts(outcomes: Sequence[Outcome]) -> Counts:
    events = [event for found in outcomes for event in found.events]
    return Counts(
        events=len(events),
        flagged=sum(event.flag_ms is not None for event in events),
        cut=sum(event.cut_ms is not None for event in events),
        false_flags=sum(found.false_flags for found in outcomes),
        false_cuts=sum(found.false_cuts for found in outcomes),
        calm_hours=sum(found.calm_ms for found in outcomes) / HOUR_MS,
    )


def figures(outcomes: Sequence[Outcome]) -> Figures:
    names = dict.fromkeys(found.group for found in outcomes)
    groups = [[found for found in outcomes if found.group == name] for name in names]
    parts = [counts(group) for group in groups]
    flagged, cut = [part.flagged for part in parts], [part.cut for part in parts]
    events = [part.events for part in parts]
    false_flags, false_cuts = [part.false_flags for part in parts], [part.false_cuts for part in parts]
    hours = [part.calm_hours for part in parts]

    def times(name: str) -> list[list[float]]:
        found = [[getattr(event, name) for one in group for event in one.events] for group in groups]
        return [[value for value in group if value is not None] for group in found]

    flag_ms, cut_ms = times("flag_ms"), times("cut_ms")
    duration_ms = sum(found.duration_ms for found in outcomes)
    return Figures(
        counts=counts(outcomes),
        flag_recall=share(flagged, events),
        cut_recall=share(cut, events),
        flag_precision=share(flagged, [a + b for a, b in zip(flagged, false_flags, strict=True)]),
        cut_precision=share(cut, [a + b for a, b in zip(cut, false_cuts, strict=True)]),
        false_flags_per_hour=rate(false_flags, hours),
        false_cuts_per_hour=rate(false_cuts, hours),
        flag_ms_median=bootstrap_quantile(flag_ms, 0.5),
        flag_ms_p95=bootstrap_quantile(flag_ms, 0.95),
        cut_ms_median=bootstrap_quantile(cut_ms, 0.5),
        cut_ms_p95=bootstrap_quantile(cut_ms, 0.95),
        alert_share=sum(found.alert_ms for found in outcomes) / duration_ms if duration_ms else 0.0,
    )


def share(hits: Sequence[int], totals: Sequence[int]) -> Interval:
    """Sum of hits over sum of totals, with one entry for each group."""
    if not sum(totals):
        return NOTHING
    value = sum(hits) / sum(totals)
    low, high = bootstrap_ratio(hits, totals)
    groups = sum(total > 0 for total in totals)
    doubt = 0.05 ** (1 / groups)  # the failure rate that may go unseen in so many groups
    if value == 1.0:
        low = min(low, doubt)
    if value == 0.0:
        high = max(high, 1 - doubt)
    return Interval(value, low, high)


def rate(events: Sequence[int], exposures: Sequence[float]) -> Interval:
    """Events per unit of exposure, with one entry for each group.

    Takes the wider of Poisson and resampled interval, because the events of one group come in bursts.
    """
    exposure = sum(exposures)
    if exposure <= 0:
        return NOTHING
    count = sum(events)
    if count == 0:
        return Interval(0.0, 0.0, rate_upper_bound(0, exposure))
    low, high = bootstrap_ratio(events, exposures)
    below, above = poisson(count)
    return Interval(count / exposure, min(low, below / exposure), max(high, above / exposure))
