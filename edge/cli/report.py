"""``edge-gate report``: prints the figures of a transparency report."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.ledger_reader import (
    ConfigOption,
    DataDirOption,
    LedgerOption,
    UntilOption,
    ledger_of,
    parse_when,
    reading,
)
from edge.cli.output import JsonOption, console, print_json, print_table, reports_errors, stderr
from edge.cli.output_file import appearing_file
from edge.errors import InvalidInput


@reports_errors
def report(
    since: Annotated[
        str, typer.Option("--since", help="2026-01-31, 2026-01-31T18:00 (UTC), or 30d, 12h before now.")
    ] = "30d",
    until: UntilOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write one HTML file, ready to print.")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of tables and HTML: en or ar.")] = "en",
    ledger: LedgerOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count streams, flags, cuts, overturned decisions, times, blocks and appeals of a period.

    Counts what began in the period, for a whole fleet, from its ledger. Gates may run meanwhile. Every rate
    has a 95 % interval and its base. The report names no broadcaster, no operator and no stream.
    """
    from edge.ledger.snapshot import snapshot
    from edge.report.gather import gather, rows_at_most
    from edge.report.html import render
    from edge.report.languages import LANGUAGES, translation
    from edge.report.words import NOTES, period, sections

    if language not in LANGUAGES:
        raise InvalidInput("--language", f"is none of {', '.join(LANGUAGES)}")
    t = translation(language)
    now = time.time_ns() // 1_000_000
    since_ms = parse_when("--since", since, now) or 0
    until_ms = now if until is None else parse_when("--until", until, now) or now
    if since_ms >= until_ms:
        raise InvalidInput("--since", "must be before --until")
    with (
        snapshot(ledger_of(ledger, config, data_dir)) as connection,
        reading(as_json, "rows", rows_at_most(connection)) as advance,
    ):
        found = gather(connection, since_ms, until_ms, now, advance)
    if html is not None:
        with appearing_file("--html", html) as file:
            file.write(render(found, language))
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    if html is not None:
        stderr.print(f"{html}: {period(found, t)}", soft_wrap=True)
        return
    console.print(period(found, t), style="bold")
    for section in sections(found, t):
        if section.rows:
            console.print()
            console.print(section.title, style="bold")
            print_table(section.columns, section.rows, "")
    console.print()
    for note in NOTES:
        console.print(t(note), style="dim")
