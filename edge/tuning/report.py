"""The report of a tuning: one self-contained HTML file. Pure.

File names are untrusted. Everything but numbers is escaped, and the page allows no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from edge.detect.measures import spell_hours
from edge.pages import render
from edge.tuning.charts import Axis, Line, Mark, chart
from edge.tuning.outcome import Outcome
from edge.tuning.result import ROWS, text
from edge.tuning.simulate import Tiering
from edge.tuning.study import THRESHOLDS, Study
from edge.tuning.tuning import Point, Tuning


def html(study: Study, tuning: Tuning, result: dict[str, Any], title: str, about: Sequence[str]) -> str:
    """Renders the report.

    ``about`` holds lines for the head of the page: data, model, time. ``result`` comes from
    ``result.result``.
    """
    unseen = result["figures"] if result["basis"] == "cross_validated" else None
    kinds = (unseen, result["fitted"], result["from_calm"], result["current_figures"])
    return render(
        "edge.tuning",
        "tuning.html",
        title=title,
        about=about,
        guarantee=result["promise"],
        warnings=result["warnings"],
        policy=[
            (name, value, result["proposal"][name], _spread([f[name] for f in result["folds"]]))
            for name, value in result["current"].items()
        ],
        worth=[(label, [_texts(kind, name, how) for kind in kinds]) for name, label, how in ROWS],
        alert_shares=("time in alert tier", *(_alert(kind) for kind in kinds)),
        charts=(
            _cut_chart(tuning, result),
            _flag_chart(tuning),
            _score_chart(study, tuning),
            _time_chart([found for _, found in tuning.outcomes]),
        ),
        sources=_sources(result["by_source"]),
        lists=_lists(result),
        assumptions=result["assumptions"],
    )


class _Figure(NamedTuple):
    title: str
    note: str
    chart: Markup


def _texts(figures: dict[str, Any] | None, name: str, how: str) -> tuple[str, ...] | None:
    """Value, low and high as text. None if the data cannot give the figure."""
    found = figures[name] if figures else None
    return None if found is None else tuple(text(number, how) for number in found)


def _alert(figures: dict[str, Any] | None) -> str:
    return text(figures["alert_share"], "share") if figures else "–"


def _spread(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "–"


def _cut_chart(tuning: Tuning, result: dict[str, Any]) -> _Figure:
    part = tuning.proposal.part
    line = _trade_off("limits of the belief", tuning.cut_curve)
    fitted = tuning.fitted
    marks = [Mark("proposed", fitted.false_cuts_per_hour.value, fitted.cut_recall.value)]
    if result["promise"]["asked"] == "false_cuts_per_hour":
        marks.append(Mark("asked for", result["promise"]["wanted"], None))
    svg = chart("Cuts", _hours([p.false_per_hour for p in tuning.cut_curve]), _SHARE, [line], marks)
    note = f"violence cut against false cuts per calm stream-hour; proposed: {part.cut_at:g}, same footage"
    return _Figure("Cuts", note, svg)


def _flag_chart(tuning: Tuning) -> _Figure:
    part = tuning.proposal.part
    line = _trade_off("limits of the belief", tuning.flag_curve)
    fitted = tuning.fitted
    marks = [Mark("proposed", fitted.false_flags_per_hour.value, fitted.flag_recall.value)]
    svg = chart("Flags", _hours([p.false_per_hour for p in tuning.flag_curve]), _SHARE, [line], marks)
    note = f"violence flagged against false flags per calm stream-hour; proposed: {part.flag_at:g}"
    return _Figure("Flags", note, svg)


def _score_chart(study: Study, tuning: Tuning) -> _Figure:
    part = tuning.proposal.part
    tiering = Tiering.of(part)
    peaks: dict[bool, list[float]] = {True: [], False: []}
    for row, one in enumerate(study.files):
        if one.truth.violent or one.truth.calm:
            peaks[bool(one.truth.violent)].append(study.trace(row, tiering).highest)
    lines = [
        Line(name, [(t, sum(p >= t for p in peaks[kind]) / max(len(peaks[kind]), 1)) for t in THRESHOLDS])
        for name, kind in (("with violence", True), ("calm", False))
    ]
    marks = [Mark(name, getattr(part, f"{name}_at"), None) for name in ("raise", "flag", "cut")]
    svg = chart("Scores", Axis("threshold", 0, 1), _SHARE, lines, marks)
    return _Figure("Scores", "share of files whose highest belief reaches a threshold", svg)


def _time_chart(outcomes: Sequence[Outcome]) -> _Figure:
    events = [event for found in outcomes for event in found.events]
    times = {
        "flagged": sorted(e.flag_ms / 1000 for e in events if e.flag_ms is not None),
        "cut": sorted(e.cut_ms / 1000 for e in events if e.cut_ms is not None),
    }
    last = max((values[-1] for values in times.values() if values), default=1.0) or 1.0
    lines = []
    for name, values in times.items():
        points = [(at, (index + 1) / max(len(events), 1)) for index, at in enumerate(values)]
        lines.append(Line(name, [(0.0, 0.0), *points, (last, points[-1][1] if points else 0.0)], steps=True))
    svg = chart("Time", Axis("seconds since its beginning", 0, last), _SHARE, lines)
    return _Figure("Time to act", "share of violent stretches that were acted upon by then", svg)


_SHARE = Axis("share", 0, 1)


def _hours(rates: Sequence[float]) -> Axis:
    return Axis("per calm stream-hour (root scale)", 0, max(max(rates, default=0.0), 1.0), root=True)


def _trade_off(name: str, points: Sequence[Point]) -> Line:
    found = sorted(points, key=lambda point: point.threshold)
    hints = [
        f"at {point.threshold:g}: {100 * point.recall:.1f} % found, {point.false_per_hour:.3g} an hour false"
        for point in found
    ]
    return Line(name, [(point.false_per_hour, point.recall) for point in found], hints)


def _sources(by_source: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            name,
            *(found[key] for key in ("events", "flagged", "cut")),
            spell_hours(found["calm_hours"]),
            *(found[key] for key in ("false_flags", "false_cuts")),
        )
        for name, found in by_source.items()
    ]


def _lists(result: dict[str, Any]) -> list[tuple[str, str, list[tuple[str, object]]]]:
    """Heading, title of the second column, and rows of each list of files."""
    titles = {
        "false_cuts": "False cuts",
        "missed": "Violence that is not even flagged",
        "false_flags": "False flags",
    }
    lists = [
        (title, "count", [(row["path"], row["count"]) for row in result["files"][kind]])
        for kind, title in titles.items()
    ]
    failed = [(one["path"], one["error"]) for one in result["data"]["failed"]]
    return [*lists, ("Files that could not be judged", "why", failed)]
