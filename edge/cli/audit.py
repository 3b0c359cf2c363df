"""``edge-gate audit``: verifies the record of decisions and exports it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.text import Text

from edge.cli.ledger_reader import (
    ConfigOption,
    DataDirOption,
    LedgerOption,
    SinceOption,
    UntilOption,
    ledger_of,
    parse_when,
    reading,
)
from edge.cli.output import JsonOption, console, print_json, print_table, reports_errors, stderr
from edge.cli.output_file import appearing_file
from edge.errors import ConfigError
from edge.ledger import (
    PROVEN_TABLES,
    AuditRow,
    ExportFormat,
    Head,
    Proof,
    Prover,
    parse_head,
    read_rows,
    write_rows,
)
from edge.ledger.snapshot import count, snapshot
from edge.ledger.tables import audit

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="The record of every decision: verify it, export it. Reads the ledger itself, beside a running gate "
    "or without one, and writes nothing.",
)


@app.command()
@reports_errors
def verify(
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            help="A head that was noted earlier, NUMBER:DIGEST, or an export: finds a log that was cut short "
            "or rewritten since. May be given several times.",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Verify the chain of an export instead of a ledger.")
    ] = None,
    ledger: LedgerOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Walk the hash chain of the audit log and compare every block, strike, incident and policy with it.

    Names each row that somebody changed, removed, inserted or moved by hand, and exits with 1. Keep the
    printed head where the database's owner cannot write. With --expect it proves later that nobody rewrote
    the log before it or truncated the log behind it.
    """
    heads = [_head(text) for text in expect or ()]
    if file is not None:
        prover = Prover(heads, part=True)
        with reading(as_json, "audit entries", file.stat().st_size if file.is_file() else 0) as advance:
            for _ in prover.entries(read_rows(file, advance)):
                pass
        proof = prover.finish(())
    else:
        proof = _verify_ledger(ledger_of(ledger, config, data_dir), heads, as_json)
    _show(proof, as_json)
    if not proof.ok:
        raise typer.Exit(1)


def _verify_ledger(url: str | Path, heads: list[Head], as_json: bool) -> Proof:
    prover = Prover(heads)
    with snapshot(url) as connection:
        with reading(as_json, "audit entries", count(connection, audit)) as advance:
            for _ in prover.entries(_audit_rows(connection)):
                advance(1)
        for table in PROVEN_TABLES:
            with reading(as_json, table.name, count(connection, table)) as advance:
                for row in connection.execute(sa.select(table)).mappings():
                    prover.row(table, dict(row))
                    advance(1)
    return prover.finish()


@app.command()
@reports_errors
def export(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; default: stdout.")] = None,
    form: Annotated[ExportFormat, typer.Option("--format", help="JSON lines or CSV.")] = ExportFormat.JSONL,
    since: SinceOption = None,
    until: UntilOption = None,
    ledger: LedgerOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the audit log with its chain. Anybody can check it with `audit verify --file`.

    --since and --until select one unbroken run of entries. With --out, --json prints what was written.
    """
    if as_json and out is None:
        raise ConfigError("--json: prints a summary and wants --out; --format jsonl is JSON already")
    now = time.time_ns() // 1_000_000
    since_ms, until_ms = parse_when("--since", since, now), parse_when("--until", until, now)
    with snapshot(ledger_of(ledger, config, data_dir)) as connection:
        first, last = _range(connection, since_ms, until_ms)
        with (
            reading(as_json or out is None, "audit entries", max(0, last - first + 1)) as advance,
            contextlib.nullcontext(sys.stdout) if out is None else appearing_file("--out", out) as target,
        ):
            head: AuditRow | None = None

            def told() -> Iterator[AuditRow]:
                nonlocal head
                for row in _audit_rows(connection, first, last):
                    head = row
                    yield row
                    advance(1)

            written = write_rows(told(), target, form)
    noted = None if head is None else str(Head(head.number, head.digest))
    if as_json:
        print_json({"path": str(out), "entries": written, "head": noted})
    elif out is not None:
        stderr.print(f"{out}: {written} entries, head {noted}", soft_wrap=True)


def _range(connection: sa.Connection, since_ms: int | None, until_ms: int | None) -> tuple[int, int]:
    """Numbers of the first and last entry. The run includes every entry between them, because clocks may
    step back."""
    query = sa.select(sa.func.min(audit.c.number), sa.func.max(audit.c.number))
    if since_ms is not None:
        query = query.where(audit.c.wall_ms >= since_ms)
    if until_ms is not None:
        query = query.where(audit.c.wall_ms < until_ms)
    first, last = connection.execute(query).one()
    return (1, 0) if first is None else (first, last)


def _audit_rows(connection: sa.Connection, first: int = 0, last: int | None = None) -> Iterator[AuditRow]:
    query = sa.select(audit).where(audit.c.number >= first).order_by(audit.c.number)
    if last is not None:
        query = query.where(audit.c.number <= last)
    for row in connection.execute(query):
        yield AuditRow(*row)


def _head(text: str) -> Head:
    path = Path(text)
    if not path.is_file():
        return parse_head(text)
    last: AuditRow | None = None
    for row in read_rows(path):
        last = row
    if last is None:
        raise ConfigError(f"--expect: {path} holds no audit entry")
    return Head(last.number, last.digest)


def _show(proof: Proof, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ok": proof.ok,
                "entries": proof.entries,
                "first": proof.first,
                "anchor": proof.anchor,
                "head": str(proof.head),
                "rows": proof.rows,
                "unproven": proof.unproven,
                "findings": [dataclasses.asdict(finding) for finding in proof.findings],
                "findings_total": proof.found,
            }
        )
        return
    if not proof.ok:
        print_table(("row", "problem"), ((each.row, each.problem) for each in proof.findings), "")
        console.print(Text.assemble(("not as it was written:", "red"), f" {proof.found} findings"))
    else:
        begin = f" from {proof.first} on (it must follow {proof.anchor})" if proof.first > 1 else ""
        console.print(f"ok: {proof.entries} audit entries{begin}, {proof.rows} rows", soft_wrap=True)
    if proof.unproven:
        console.print(f"{proof.unproven} rows are older than their digests: named by the log, not proven")
    console.print(f"head {proof.head}", soft_wrap=True)
