"""What a set of outcomes is worth, each figure with its interval. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.tuning.intervals import Figure, quantile, rate, share
from edge.tuning.outcome import Outcome

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What figures are made of."""

    events: int
    flagged: int
    cut: int
    false_flags: int
    false_cuts: int
    calm_hours: float


@dataclass(frozen=True, slots=True)
class Figures:
    counts: Counts
    flag_recall: Figure
    """Violent stretches that had a FLAG or CUT."""
    cut_recall: Figure
    flag_precision: Figure
    """Of flagged violent stretches and false flags, the former."""
    cut_precision: Figure
    false_flags_per_hour: Figure
    """Of calm footage."""
    false_cuts_per_hour: Figure
    flag_ms_median: Figure
    """From the beginning of a violent stretch to its FLAG, of those that had one."""
    flag_ms_p95: Figure
    cut_ms_median: Figure
    cut_ms_p95: Figure
    alert_share: float
    """Of all stream time, in alert tier."""


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
        flag_ms_median=quantile(flag_ms, 0.5),
        flag_ms_p95=quantile(flag_ms, 0.95),
        cut_ms_median=quantile(cut_ms, 0.5),
        cut_ms_p95=quantile(cut_ms, 0.95),
        alert_share=sum(found.alert_ms for found in outcomes) / duration_ms if duration_ms else 0.0,
    )
