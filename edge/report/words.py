"""Words the figures for people. Terminal and HTML share them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.report.figures import PerHours, Quantile, Share, Times
from edge.report.report import Group, Report

NONE = "–"


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A heading and a table. ``bars`` holds, for each row that has a bar, the share from 0 to 1 that it
    shows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[float | None, ...] = ()


def sections(report: Report) -> tuple[ReportSection, ...]:
    usage, cuts, blocks, appeals = report.usage, report.cuts, report.blocks, report.appeals
    figures = ("figure", "value", "95 % interval", "of")
    return (
        ReportSection(
            "What was watched",
            ("app", "streams", "stream-hours", "cuts per 1,000 h", "95 % interval"),
            (
                *(
                    (app, number(use.streams), hours(use.stream_hours), *_rate(use.cuts_per_1000_hours))
                    for app, use in usage.by_app.items()
                ),
                (
                    "all",
                    number(usage.streams),
                    hours(usage.stream_hours),
                    *_rate(usage.cuts_per_1000_hours),
                ),
            ),
        ),
        ReportSection(
            "What was decided",
            figures,
            (
                ("flags", number(report.flags), NONE, NONE),
                (
                    "flags per 1,000 stream-hours",
                    *_rate(usage.flags_per_1000_hours),
                    _hours(usage.stream_hours),
                ),
                ("cuts", number(cuts.cuts), NONE, NONE),
                (
                    "cuts per 1,000 stream-hours",
                    *_rate(usage.cuts_per_1000_hours),
                    _hours(usage.stream_hours),
                ),
                ("shadow mode: flags, not enforced", number(report.shadow_flags), NONE, NONE),
                ("shadow mode: cuts, not enforced", number(report.shadow_cuts), NONE, NONE),
                ("changes of the policy", number(report.policy_changes), NONE, NONE),
            ),
        ),
        ReportSection(
            "Was it right",
            figures,
            (
                _share("cuts reviewed by a person", cuts.reviews.reviewed, "cuts"),
                _share("cuts overturned", cuts.reviews.overturned, "reviewed cuts"),
                _share("flags reviewed by a person", report.flag_reviews.reviewed, "flags"),
                _share("flags overturned", report.flag_reviews.overturned, "reviewed flags"),
                _share("shadow decisions reviewed", report.shadow_reviews.reviewed, "shadow decisions"),
                _share("shadow decisions overturned", report.shadow_reviews.overturned, "reviewed ones"),
                *_times("time to review a cut", cuts.reviews.time_to_review, "reviewed cuts"),
                *_times("time to review a flag", report.flag_reviews.time_to_review, "reviewed flags"),
            ),
        ),
        ReportSection(
            "How cuts went",
            figures,
            (
                _share("cuts proven by now", cuts.confirmed, "cuts"),
                _share("cuts not proven within the limit", cuts.alarms, "cuts"),
                *_times("time from the verdict to the proof", cuts.time_to_cut, "proven cuts"),
            ),
        ),
        ReportSection(
            "Strikes",
            figures,
            (
                ("strikes", number(report.strikes.made), NONE, NONE),
                ("provisional: they wait for a review", number(report.strikes.provisional), NONE, NONE),
                _share("pardoned", report.strikes.pardoned, "strikes"),
            ),
        ),
        ReportSection(
            "Blocks",
            figures,
            (
                ("blocks", number(blocks.made), NONE, NONE),
                ("permanent", number(blocks.permanent), NONE, NONE),
                _share("lifted", blocks.lifted, "blocks"),
                ("began provisional", number(blocks.provisional), NONE, NONE),
                _share("lapsed, nobody had reviewed them", blocks.lapsed, "provisional blocks"),
            ),
        ),
        _counts("Blocks by source", "source", blocks.by_source),
        _counts("Blocks by category", "category", blocks.by_category),
        _counts("Streams cut without a verdict, by reason", "reason", cuts.without_verdict),
        _counts("Refused publishes by reason", "reason", usage.refused),
        ReportSection(
            "Appeals",
            figures,
            (
                ("filed", number(appeals.filed), NONE, NONE),
                _share("granted", appeals.granted, "decided appeals"),
                ("denied", number(appeals.denied), NONE, NONE),
                ("open", number(appeals.open), NONE, NONE),
                *_times("time to decide", appeals.time_to_decide, "decided appeals"),
            ),
        ),
        _grouped("By category", "category", report.by_category),
        _grouped("By source of the verdict", "source", report.by_source),
        _grouped("By app", "app", report.by_app),
    )


NOTES = (
    "The report covers everything that began in the period, in its state when the report was made.",
    "Intervals: Wilson's for shares, Byar's for rates per hours, order statistics for times. A bound is "
    "left open if there are too few cases.",
    "Each gate counts stream-hours every ten minutes and when it stops. A killed gate loses the count of its "
    "last minutes.",
    "Blocks are counted by decision: one decision may block an account, a key and an address.",
)


def period(report: Report) -> str:
    return f"{moment(report.since_ms)} to {moment(report.until_ms)} UTC"


def moment(wall_ms: int) -> str:
    return datetime.datetime.fromtimestamp(wall_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def number(value: int) -> str:
    return f"{value:,}"


def hours(value: float) -> str:
    return f"{value:,.1f}"


def duration(ms: int) -> str:
    """Formats a length of time with about three digits."""
    for unit, size, below in (("ms", 1, 1_000), ("s", 1_000, 120_000), ("min", 60_000, 7_200_000)):
        if ms < below:
            return f"{ms / size:.3g} {unit}"
    return f"{ms / 3_600_000:.3g} h" if ms < 172_800_000 else f"{ms / 86_400_000:.3g} d"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _share(name: str, value: Share, of: str) -> tuple[str, ...]:
    interval = NONE if value.low is None else f"{percent(value.low)} to {percent(value.high)}"
    return f"{name}: {number(value.count)}", percent(value.value), interval, f"{number(value.of)} {of}"


def _rate(value: PerHours) -> tuple[str, str]:
    if value.per_1000_hours is None or value.low is None or value.high is None:
        return NONE, NONE
    return f"{value.per_1000_hours:.3g}", f"{value.low:.3g} to {value.high:.3g}"


def _hours(value: float) -> str:
    return f"{hours(value)} stream-hours"


def _times(name: str, value: Times, of: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (f"{name}, {which}", *_quantile(quantile), f"{number(value.of)} {of}")
        for which, quantile in (("median", value.p50), ("95th percentile", value.p95))
    )


def _quantile(value: Quantile | None) -> tuple[str, str]:
    if value is None:
        return NONE, NONE
    low = None if value.low_ms is None else duration(value.low_ms)
    high = None if value.high_ms is None else duration(value.high_ms)
    match (low, high):
        case (None, None):
            interval = NONE
        case (_, None):
            interval = f"{low} or more"
        case (None, _):
            interval = f"up to {high}"
        case _:
            interval = f"{low} to {high}"
    return duration(value.value_ms), interval


def _counts(title: str, column: str, counts: Mapping[str, int]) -> ReportSection:
    most = max(counts.values(), default=0)
    return ReportSection(
        title,
        (column, "count"),
        tuple((name, number(count)) for name, count in counts.items()),
        tuple(count / most for count in counts.values()),
    )


def _grouped(title: str, column: str, groups: Mapping[str, Group]) -> ReportSection:
    rows: Sequence[tuple[str, ...]] = [
        (
            name,
            number(group.flags),
            number(group.cuts),
            percent(group.overturned_cuts.value),
            NONE
            if group.overturned_cuts.low is None
            else f"{percent(group.overturned_cuts.low)} to {percent(group.overturned_cuts.high)}",
            number(group.overturned_cuts.of),
        )
        for name, group in groups.items()
    ]
    columns = (column, "flags", "cuts", "cuts overturned", "95 % interval", "of reviewed cuts")
    return ReportSection(title, columns, tuple(rows))
