"""The after-action report of a crisis for people: sections of figures, and one HTML file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge import __version__, pages
from edge.report.crisis import CrisisReport, LogLine
from edge.report.figures import Times
from edge.report.languages import direction, translation
from edge.report.words import NONE, ReportSection, Translate, moment, number

DONE: Final = {
    "crisis_declared": "declared",
    "crisis_confirmed": "confirmed",
    "crisis_given": "footage given",
    "crisis_added": "footage known",
    "crisis_ended": "ended",
}
"""What was done, in words."""
NOTE: Final = "Copies are incidents that the bank of the crisis led to. One stream may have several."
DRILL_NOTE: Final = "This was a drill. No figure here is of a real broadcaster."
STATES: Final = {
    "proposed": "waits for a second person",
    "in_force": "in force",
    "ended": "ended",
}


def render(report: CrisisReport, language: str = "en") -> str:
    """The whole document: no script, no external files, every value escaped."""
    t = translation(language)
    return pages.render(
        "edge.report",
        "report.html",
        language=language,
        direction=direction(language),
        title=title(report, t),
        period=period(report, t),
        highlights=highlights(report, t),
        sections=sections(report, t),
        notes=(t(NOTE), *((t(DRILL_NOTE),) if report.drill else ())),
        made=t("Made {made} UTC by edge-gate {version}.").format(
            made=moment(report.made_ms), version=__version__
        ),
    )


def title(report: CrisisReport, t: Translate = str) -> str:
    words = t("Drill {name}") if report.drill else t("Crisis {name}")
    return words.format(name=report.name)


def period(report: CrisisReport, t: Translate = str) -> str:
    begun = report.declared_ms if report.begun_ms is None else report.begun_ms
    state = t(STATES.get(report.state, report.state))
    end = report.until_ms if report.ended_ms is None else report.ended_ms
    return t("{state}, {begun} to {end} UTC").format(state=state, begun=moment(begun), end=moment(end))


def highlights(report: CrisisReport, t: Translate = str) -> tuple[tuple[str, str], ...]:
    """The figures that are read first: name and value."""
    return (
        (t("footage given"), number(report.given)),
        (t("footage known"), number(report.added)),
        (t("copies found"), number(report.copies)),
        (t("copies cut"), number(report.cuts)),
        (t("first footage to first cut"), _after(report)),
        (t("verdict to cut, median"), _median(report.time_to_cut)),
    )


def sections(report: CrisisReport, t: Translate = str) -> tuple[ReportSection, ...]:
    """In English, or in the language that ``t`` translates to."""
    copies = t("copies")
    return (
        ReportSection(t("The crisis"), (t("figure"), t("value")), tuple(_facts(report, t))),
        _counts(t("Copies by variant"), (t("variant"), copies), report.by_variant, report.copies),
        _counts(t("Copies by app"), (t("app"), copies), report.by_app, report.copies),
        _counts(t("Copies by gate"), (t("gate"), copies), report.by_gate, report.copies),
        ReportSection(
            t("What was stricter"),
            (t("field of the policy"), t("value")),
            tuple((field, json.dumps(value)) for field, value in _leaves(report.patch)),
        ),
        ReportSection(
            t("Log"),
            (t("time (UTC)"), t("who"), t("what"), t("details")),
            tuple(_line(line, t) for line in report.log),
        ),
    )


def _facts(report: CrisisReport, t: Translate) -> Iterator[tuple[str, str]]:
    yield t("reason"), report.reason
    yield t("declared by"), f"{report.declared_by}, {moment(report.declared_ms)}"
    if report.confirmed_by is not None and report.begun_ms is not None:
        yield t("confirmed by"), f"{report.confirmed_by}, {moment(report.begun_ms)}"
    if report.ended_ms is not None:
        yield t("ended by"), f"{report.ended_by}, {moment(report.ended_ms)}"
        yield t("why it ended"), t(report.end_reason or "")
    yield t("apps"), ", ".join(report.apps) or t("all")
    yield t("bank"), report.bank
    yield t("hashes"), number(report.hashes)
    yield t("copies overturned by a person"), number(report.overturned)
    yield t("file given to known, median"), _median(report.time_to_known)


def _counts(title: str, columns: tuple[str, ...], counts: Mapping[str, int], whole: int) -> ReportSection:
    return ReportSection(
        title,
        columns,
        tuple((name or NONE, number(count)) for name, count in counts.items()),
        tuple(count / max(1, whole) for count in counts.values()),
    )


def _line(line: LogLine, t: Translate) -> tuple[str, ...]:
    shown = (line.detail.get(name) for name in ("reason", "file", "url", "entry", "note"))
    details = ", ".join(str(value) for value in shown if value)
    return moment(line.wall_ms, seconds=True), line.who, t(DONE.get(line.what, line.what)), details or NONE


def _after(report: CrisisReport) -> str:
    if report.first_given_ms is None or report.first_cut_ms is None:
        return NONE
    return f"{max(0, report.first_cut_ms - report.first_given_ms) / 1000:.1f} s"


def _median(measured: Times) -> str:
    return NONE if measured.p50 is None else f"{measured.p50.value_ms / 1000:.1f} s"


def _leaves(patch: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in patch.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
