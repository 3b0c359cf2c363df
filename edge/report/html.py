"""The report as one HTML file: no script, nothing from elsewhere, every value escaped, ready to print."""

from __future__ import annotations

from html import escape

from edge import __version__
from edge.report.report import Report
from edge.report.words import NOTES, Section, hours, moment, number, percent, period, sections

_STYLE = """
:root { --ink: #1b1f24; --soft: #5b6570; --line: #d9dee3; --bar: #3b6ea8; --paper: #ffffff; --card: #f5f7f9 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa4ae; --line: #333a42;
  --bar: #7fb0e6; --paper: #15181c; --card: #1e2328 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2.5rem 1.5rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif }
h1 { font-size: 1.7rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem }
.period, footer { color: var(--soft) }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem;
  margin-top: 1.6rem }
.card { background: var(--card); border-radius: .5rem; padding: .8rem 1rem }
.card b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums }
.card span { color: var(--soft); font-size: .85rem }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere }
td.n, th.n { text-align: right; white-space: nowrap }
.bar { display: block; height: .7rem; border-radius: .2rem; background: var(--bar); min-width: 1px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
td.bars { width: 45%; padding-top: .7rem }
footer { margin-top: 2.5rem; font-size: .85rem }
footer p { margin: .3rem 0 }
@page { margin: 18mm 15mm }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --bar: #555; --paper: #fff; --card: #f2f2f2 }
  body { padding: 0; max-width: none; font-size: 10.5pt } section { break-inside: avoid }
  h2 { break-after: avoid } }
"""


def render(report: Report) -> str:
    """The whole document."""
    body = "".join(_section(section) for section in sections(report) if section.rows)
    notes = "".join(f"<p>{escape(note)}</p>" for note in NOTES)
    cards = "".join(_card(name, value) for name, value in _highlights(report))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Live moderation, {escape(period(report))}</title><style>{_STYLE}</style></head><body>"
        f'<h1>Live moderation</h1><div class="period">{escape(period(report))}</div>'
        f'<div class="cards">{cards}</div>{body}'
        f"<footer>{notes}<p>Made {escape(moment(report.made_ms))} UTC by edge-gate {escape(__version__)}.</p>"
        "</footer></body></html>\n"
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


def _card(name: str, value: str) -> str:
    return f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _section(section: Section) -> str:
    head = "".join(f"<th{_right(index)}>{escape(name)}</th>" for index, name in enumerate(section.columns))
    if section.bars:
        head += "<th></th>"
    rows = []
    for index, row in enumerate(section.rows):
        cells = "".join(f"<td{_right(column)}>{escape(cell)}</td>" for column, cell in enumerate(row))
        if section.bars:
            width = 100 * (section.bars[index] or 0.0)
            cells += f'<td class="bars"><i class="bar" style="width:{width:.1f}%"></i></td>'
        rows.append(f"<tr>{cells}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<section><h2>{escape(section.title)}</h2>{table}</section>"


def _right(column: int) -> str:
    return ' class="n"' if column else ""
