"""The report as one HTML file, ready to print: no script, no external files, every value escaped."""

from __future__ import annotations

from edge import __version__, pages
from edge.report.languages import direction, translation
from edge.report.report import Report
from edge.report.words import NOTES, Translate, hours, moment, number, percent, period, sections


def render(report: Report, language: str = "en") -> str:
    """Renders the whole document."""
    t = translation(language)
    return pages.render(
        "edge.report",
        "report.html",
        language=language,
        direction=direction(language),
        title=t("Live moderation"),
        period=period(report, t),
        highlights=highlights(report, t),
        sections=sections(report, t),
        notes=tuple(map(t, NOTES)),
        made=t("Made {made} UTC by edge-gate {version}.").format(
            made=moment(report.made_ms), version=__version__
        ),
    )


def highlights(report: Report, t: Translate) -> tuple[tuple[str, str], ...]:
    """The figures that are read first: name and value."""
    return (
        (t("streams"), number(report.usage.streams)),
        (t("stream-hours"), hours(report.usage.stream_hours)),
        (t("flags"), number(report.flags)),
        (t("cuts"), number(report.cuts.cuts)),
        (t("of reviewed cuts overturned"), percent(report.cuts.reviews.overturned.value)),
        (t("appeals filed"), number(report.appeals.filed)),
    )
