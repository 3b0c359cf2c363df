"""The report of a tuning: one HTML file that needs nothing else. Pure.

Names of files come from outside: everything that is not a number is escaped, and the page allows no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from edge.detect.measures import spell_hours
from edge.tuning.charts import Axis, Line, Mark, chart
from edge.tuning.outcome import Outcome
from edge.tuning.result import ROWS, text
from edge.tuning.search import CUT_SAMPLES
from edge.tuning.simulate import Tiering
from edge.tuning.study import THRESHOLDS, Study
from edge.tuning.tuning import Point, Tuning

_STYLE = """
:root{color-scheme:light dark;--ink:#1e293b;--soft:#64748b;--line:#e2e8f0;--paper:#fff;--card:#f8fafc;
--good:#0d9488;--bad:#b45309}
@media (prefers-color-scheme:dark){:root{--ink:#e2e8f0;--soft:#94a3b8;--line:#334155;--paper:#0f172a;
--card:#1e293b;--good:#2dd4bf;--bad:#fbbf24}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:32px 24px 64px}h1{font-size:26px;margin:0 0 4px}
h2{font-size:18px;margin:36px 0 10px}.soft{color:var(--soft)}p{margin:6px 0}
.said{border-left:4px solid var(--bad);background:var(--card);padding:12px 16px;margin:20px 0;
border-radius:4px}
.said.good{border-color:var(--good)}table{border-collapse:collapse;width:100%;
font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:13px}td b{font-weight:650}
td small{color:var(--soft);display:block}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:20px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px}
figcaption{font-weight:600;margin-bottom:6px}figcaption small{display:block;font-weight:400;color:var(--soft)}
svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}
svg .strong{fill:var(--ink);font-weight:600}svg .grid{stroke:var(--line)}
svg .axis{stroke:var(--soft);fill:none}svg .mark{stroke:var(--bad);stroke-dasharray:5 4;stroke-width:1.5}
svg .chosen{fill:none;stroke:var(--bad);stroke-width:3}code{font-size:13px;overflow-wrap:anywhere}
.scroll{overflow-x:auto}li{margin:4px 0}
"""
_COLUMNS = ("proposed, unseen footage", "proposed, same footage", "proposed, from calm", "now")


def html(study: Study, tuning: Tuning, result: dict[str, Any], title: str, about: Sequence[str]) -> str:
    """``about``: lines for the head of the page: data, model, time. ``result``: of ``result.result``."""
    promise = result["promise"]
    unseen = result["figures"] if result["basis"] == "cross_validated" else None
    kinds = (unseen, result["fitted"], result["from_calm"], result["current_figures"])
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="soft">{escape(line)}</p>' for line in about),
        f'<div class="said{" good" if promise["shown"] else ""}">{escape(promise["text"])}</div>',
        *(f'<div class="said">{escape(text)}</div>' for text in result["warnings"]),
        "<h2>Policy</h2>",
        _table(
            ("", "now", "proposed", "chosen in the folds"),
            [
                (name, value, _strong(result["proposal"][name]), _spread([f[name] for f in result["folds"]]))
                for name, value in result["current"].items()
            ],
        ),
        "<h2>What it is worth</h2>",
        '<p class="soft">With 95 % intervals. <b>Unseen footage</b>: each file judged by what was chosen '
        "without its group. <b>Same footage</b>: what the proposal was chosen from, which flatters. "
        "<b>From calm</b>: the same, as if each stream had been calm before.</p>",
        _table(
            ("", *_COLUMNS),
            [(label, *(_cell(kind, name, how) for kind in kinds)) for name, label, how in ROWS]
            + [("time in alert tier", *(_alert(kind) for kind in kinds))],
        ),
        "<h2>Trade-off</h2>",
        '<div class="charts">',
        _cut_chart(tuning, result),
        _flag_chart(tuning),
        _score_chart(study, tuning),
        _time_chart([found for _, found in tuning.outcomes]),
        "</div>",
        "<h2>By source</h2>",
        _sources(result["by_source"]),
        *_lists(result),
        "<h2>What is assumed</h2>",
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in result['assumptions'])}</ul>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


class _Html(str):
    """Escaped already."""


def _strong(value: object) -> _Html:
    return _Html(f"<b>{escape(str(value))}</b>")


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{cell if isinstance(cell, _Html) else escape(str(cell))}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(figures: dict[str, Any] | None, name: str, how: str) -> _Html:
    found = figures[name] if figures else None
    if found is None:
        return _Html('<span class="soft">–</span>')
    value, low, high = (text(number, how) for number in found)
    return _Html(f"<b>{value}</b><small>{low} to {high}</small>")


def _alert(figures: dict[str, Any] | None) -> str:
    return text(figures["alert_share"], "share") if figures else "–"


def _spread(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "–"


def _figure(title: str, note: str, svg: str) -> str:
    return f"<figure><figcaption>{escape(title)}<small>{escape(note)}</small></figcaption>{svg}</figure>"


def _cut_chart(tuning: Tuning, result: dict[str, Any]) -> str:
    part = tuning.proposal.part
    lines = [
        _trade_off(f"{samples} in a row", [p for p in tuning.cut_curve if p.samples == samples])
        for samples in CUT_SAMPLES
    ]
    fitted = tuning.fitted
    marks = [Mark("proposed", fitted.false_cuts_per_hour.value, fitted.cut_recall.value)]
    if result["promise"]["asked"] == "false_cuts_per_hour":
        marks.append(Mark("asked for", result["promise"]["wanted"], None))
    svg = chart("Cuts", _hours([p.false_per_hour for p in tuning.cut_curve]), _SHARE, lines, marks)
    note = f"violence cut against false cuts per calm stream-hour; proposed: {part.cut_at:g}, same footage"
    return _figure("Cuts", note, svg)


def _flag_chart(tuning: Tuning) -> str:
    part = tuning.proposal.part
    line = _trade_off(f"{part.flag_samples} in a row", tuning.flag_curve)
    fitted = tuning.fitted
    marks = [Mark("proposed", fitted.false_flags_per_hour.value, fitted.flag_recall.value)]
    svg = chart("Flags", _hours([p.false_per_hour for p in tuning.flag_curve]), _SHARE, [line], marks)
    note = f"violence flagged against false flags per calm stream-hour; proposed: {part.flag_at:g}"
    return _figure("Flags", note, svg)


def _score_chart(study: Study, tuning: Tuning) -> str:
    part = tuning.proposal.part
    tiering = Tiering.of(part)
    peaks: dict[bool, list[float]] = {True: [], False: []}
    for row, one in enumerate(study.files):
        if one.truth.violent or one.truth.calm:
            peaks[bool(one.truth.violent)].append(study.way(row, tiering).highest)
    lines = [
        Line(name, [(t, sum(p >= t for p in peaks[kind]) / max(len(peaks[kind]), 1)) for t in THRESHOLDS])
        for name, kind in (("with violence", True), ("calm", False))
    ]
    marks = [Mark(name, getattr(part, f"{name}_at"), None) for name in ("raise", "flag", "cut")]
    svg = chart("Scores", Axis("threshold", 0, 1), _SHARE, lines, marks)
    return _figure("Scores", "share of files whose highest window score reaches a threshold", svg)


def _time_chart(outcomes: Sequence[Outcome]) -> str:
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
    return _figure("Time to act", "share of violent stretches that were acted upon by then", svg)


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


def _sources(by_source: dict[str, Any]) -> str:
    return _table(
        ("source", "violent stretches", "flagged", "cut", "calm", "false flags", "false cuts"),
        [
            (
                name,
                *(found[key] for key in ("events", "flagged", "cut")),
                spell_hours(found["calm_hours"]),
                *(found[key] for key in ("false_flags", "false_cuts")),
            )
            for name, found in by_source.items()
        ],
    )


def _lists(result: dict[str, Any]) -> list[str]:
    titles = {
        "false_cuts": "False cuts",
        "missed": "Violence that is not even flagged",
        "false_flags": "False flags",
    }
    parts = []
    for kind, title in titles.items():
        if rows := result["files"][kind]:
            parts.append(f"<h2>{title}</h2>")
            parts.append(
                _table(
                    ("file", "count"),
                    [(_Html(f"<code>{escape(row['path'])}</code>"), row["count"]) for row in rows],
                )
            )
    if failed := result["data"]["failed"]:
        parts.append("<h2>Files that could not be judged</h2>")
        rows = [(_Html(f"<code>{escape(one['path'])}</code>"), one["error"]) for one in failed]
        parts.append(_table(("file", "why"), rows))
    return parts
