"""Words the figures for people. Terminal and HTML share them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge.report.figures import PerHours, Quantile, Share, Times
from edge.report.report import Group, Report

NONE = "–"

Translate = Callable[[str], str]
"""Takes a text of this module, in English, and returns it in another language."""


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A heading and a table. ``bars`` holds, for each row that has a bar, the share from 0 to 1 that it
    shows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[float | None, ...] = ()


def sections(report: Report, t: Translate = str) -> tuple[ReportSection, ...]:
    """In English, or in the language that ``t`` translates to."""
    usage, cuts, blocks, appeals = report.usage, report.cuts, report.blocks, report.appeals
    figures = (t("figure"), t("value"), t("95 % interval"), t("of"))
    return (
        ReportSection(
            t("What was watched"),
            (t("app"), t("streams"), t("stream-hours"), t("cuts per 1,000 h"), t("95 % interval")),
            (
                *(
                    (app, number(use.streams), hours(use.stream_hours), *_rate(use.cuts_per_1000_hours, t))
                    for app, use in usage.by_app.items()
                ),
                (
                    t("all"),
                    number(usage.streams),
                    hours(usage.stream_hours),
                    *_rate(usage.cuts_per_1000_hours, t),
                ),
            ),
        ),
        ReportSection(
            t("What was decided"),
            figures,
            (
                (t("flags"), number(report.flags), NONE, NONE),
                (
                    t("flags per 1,000 stream-hours"),
                    *_rate(usage.flags_per_1000_hours, t),
                    _hours(usage.stream_hours, t),
                ),
                (t("cuts"), number(cuts.cuts), NONE, NONE),
                (
                    t("cuts per 1,000 stream-hours"),
                    *_rate(usage.cuts_per_1000_hours, t),
                    _hours(usage.stream_hours, t),
                ),
                (t("shadow mode: flags, not enforced"), number(report.shadow_flags), NONE, NONE),
                (t("shadow mode: cuts, not enforced"), number(report.shadow_cuts), NONE, NONE),
                (t("changes of the policy"), number(report.policy_changes), NONE, NONE),
            ),
        ),
        ReportSection(
            t("Was it right"),
            figures,
            (
                _share(t, "cuts reviewed by a person", cuts.reviews.reviewed, "cuts"),
                _share(t, "cuts overturned", cuts.reviews.overturned, "reviewed cuts"),
                _share(t, "flags reviewed by a person", report.flag_reviews.reviewed, "flags"),
                _share(t, "flags overturned", report.flag_reviews.overturned, "reviewed flags"),
                _share(t, "shadow decisions reviewed", report.shadow_reviews.reviewed, "shadow decisions"),
                _share(t, "shadow decisions overturned", report.shadow_reviews.overturned, "reviewed ones"),
                *_times(t, "time to review a cut", cuts.reviews.time_to_review, "reviewed cuts"),
                *_times(t, "time to review a flag", report.flag_reviews.time_to_review, "reviewed flags"),
            ),
        ),
        ReportSection(
            t("How cuts went"),
            figures,
            (
                _share(t, "cuts proven by now", cuts.confirmed, "cuts"),
                _share(t, "cuts not proven within the limit", cuts.alarms, "cuts"),
                *_times(t, "time from the verdict to the proof", cuts.time_to_cut, "proven cuts"),
            ),
        ),
        ReportSection(
            t("Strikes"),
            figures,
            (
                (t("strikes"), number(report.strikes.made), NONE, NONE),
                (t("provisional: they wait for a review"), number(report.strikes.provisional), NONE, NONE),
                _share(t, "pardoned", report.strikes.pardoned, "strikes"),
            ),
        ),
        ReportSection(
            t("Blocks"),
            figures,
            (
                (t("blocks"), number(blocks.made), NONE, NONE),
                (t("permanent"), number(blocks.permanent), NONE, NONE),
                _share(t, "lifted", blocks.lifted, "blocks"),
                (t("began provisional"), number(blocks.provisional), NONE, NONE),
                _share(t, "lapsed, nobody had reviewed them", blocks.lapsed, "provisional blocks"),
            ),
        ),
        _counts(t, "Blocks by source", "source", blocks.by_source),
        _counts(t, "Blocks by category", "category", blocks.by_category),
        _counts(t, "Streams cut without a verdict, by reason", "reason", cuts.without_verdict),
        _counts(t, "Refused publishes by reason", "reason", usage.refused),
        ReportSection(
            t("Appeals"),
            figures,
            (
                (t("filed"), number(appeals.filed), NONE, NONE),
                _share(t, "granted", appeals.granted, "decided appeals"),
                (t("denied"), number(appeals.denied), NONE, NONE),
                (t("open"), number(appeals.open), NONE, NONE),
                *_times(t, "time to decide", appeals.time_to_decide, "decided appeals"),
            ),
        ),
        _grouped(t, "By category", "category", report.by_category),
        _grouped(t, "By source of the verdict", "source", report.by_source),
        _grouped(t, "By app", "app", report.by_app),
    )


NOTES = (
    "The report covers everything that began in the period, in its state when the report was made.",
    "Intervals: Wilson's for shares, Byar's for rates per hours, order statistics for times. A bound is "
    "left open if there are too few cases.",
    "Each gate counts stream-hours every ten minutes and when it stops. A killed gate loses the count of its "
    "last minutes.",
    "Blocks are counted by decision: one decision may block an account, a key and an address.",
)


def period(report: Report, t: Translate = str) -> str:
    return t("{low} to {high} UTC").format(low=moment(report.since_ms), high=moment(report.until_ms))


def moment(wall_ms: int, *, seconds: bool = False) -> str:
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return datetime.datetime.fromtimestamp(wall_ms / 1000, datetime.UTC).strftime(form)


def number(value: int) -> str:
    return f"{value:,}"


def hours(value: float) -> str:
    return f"{value:,.1f}"


def duration(ms: int, t: Translate = str) -> str:
    """Formats a length of time with about three digits."""
    for unit, size, below in (("ms", 1, 1_000), ("s", 1_000, 120_000), ("min", 60_000, 7_200_000)):
        if ms < below:
            return f"{ms / size:.3g} {t(unit)}"
    return f"{ms / 3_600_000:.3g} {t('h')}" if ms < 172_800_000 else f"{ms / 86_400_000:.3g} {t('d')}"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _share(t: Translate, name: str, value: Share, of: str) -> tuple[str, ...]:
    interval = NONE if value.low is None else _between(t, percent(value.low), percent(value.high))
    return f"{t(name)}: {number(value.count)}", percent(value.value), interval, f"{number(value.of)} {t(of)}"


def _between(t: Translate, low: str, high: str) -> str:
    return t("{low} to {high}").format(low=low, high=high)


def _rate(value: PerHours, t: Translate) -> tuple[str, str]:
    if value.per_1000_hours is None or value.low is None or value.high is None:
        return NONE, NONE
    return f"{value.per_1000_hours:.3g}", _between(t, f"{value.low:.3g}", f"{value.high:.3g}")


def _hours(value: float, t: Translate) -> str:
    return f"{hours(value)} {t('stream-hours')}"


def _times(t: Translate, name: str, value: Times, of: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (f"{t(name)}{t(which)}", *_quantile(quantile, t), f"{number(value.of)} {t(of)}")
        for which, quantile in ((", median", value.p50), (", 95th percentile", value.p95))
    )


def _quantile(value: Quantile | None, t: Translate) -> tuple[str, str]:
    if value is None:
        return NONE, NONE
    low = None if value.low_ms is None else duration(value.low_ms, t)
    high = None if value.high_ms is None else duration(value.high_ms, t)
    if low is None:
        interval = NONE if high is None else t("up to {high}").format(high=high)
    elif high is None:
        interval = t("{low} or more").format(low=low)
    else:
        interval = _between(t, low, high)
    return duration(value.value_ms, t), interval


def _counts(t: Translate, title: str, column: str, counts: Mapping[str, int]) -> ReportSection:
    most = max(counts.values(), default=0)
    return ReportSection(
        t(title),
        (t(column), t("count")),
        tuple((name, number(count)) for name, count in counts.items()),
        tuple(count / most for count in counts.values()),
    )


def _grouped(t: Translate, title: str, column: str, groups: Mapping[str, Group]) -> ReportSection:
    rows: Sequence[tuple[str, ...]] = [
        (
            name,
            number(group.flags),
            number(group.cuts),
            percent(group.overturned_cuts.value),
            NONE
            if group.overturned_cuts.low is None
            else _between(t, percent(group.overturned_cuts.low), percent(group.overturned_cuts.high)),
            number(group.overturned_cuts.of),
        )
        for name, group in groups.items()
    ]
    columns = (column, "flags", "cuts", "cuts overturned", "95 % interval", "of reviewed cuts")
    return ReportSection(t(title), tuple(map(t, columns)), tuple(rows))
