"""The report as one HTML file, ready to print: no script, no external files, every value escaped."""

from __future__ import annotations

from edge import __version__, pages
from edge.report.report import Report
from edge.report.words import NOTES, hours, moment, number, percent, period, sections


def render(report: Report) -> str:
    """Renders the whole document."""
    return pages.render(
        "edge.report",
        "report.html",
        period=period(report),
        highlights=_highlights(report),
        sections=sections(report),
        notes=NOTES,
        made=moment(report.made_ms),
        version=__version__,
    )


def _highlights(report: Report) -> tuple[tuple[str, str], ...]:
    return (
        ("streams", number(report.usage.streams)),
        ("stream-hours", hours(report.usage.stream_hours)),
        ("flags", number(report.flags)),
        ("cuts", number(report.cuts.cuts)),
        ("of reviewed cuts overturned", percent(report.cuts.reviews.overturned.value)),
        ("appeals filed", number(report.appeals.filed)),
    )
