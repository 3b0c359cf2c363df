"""``edge-gate bank``: known footage in and out of the banks that live streams are matched against."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge.errors import GateError, NotFound
from edge.match import Bank, BankInfo, Footage, Opinion, Severity, bank_files, fingerprint

app = typer.Typer(
    name="bank",
    help="Known footage: add, list and export the banks that live streams are matched against.",
    no_args_is_help=True,
)

BankPath = Annotated[Path, typer.Option("--bank", "-b", help="The bank, as DIR/NAME.", metavar="DIR/NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and no progress.")]


@contextmanager
def reporting(as_json: bool) -> Iterator[None]:
    """Turn a GateError into a message on stderr, or JSON on stdout, and exit code 1."""
    try:
        yield
    except GateError as error:
        if as_json:
            _print_json({"error": str(error), "reason": error.reason})
        else:
            Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


@contextmanager
def progress_bar(as_json: bool) -> Iterator[Progress]:
    """A bar on stderr; silent with --json and where stderr is not a terminal."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        disable=as_json or not console.is_terminal,
        transient=True,
    ) as bar:
        yield bar


@app.command("add")
def add(
    paths: Annotated[list[Path], typer.Argument(help="Videos or images.", metavar="VIDEO|IMAGE...")],
    bank: BankPath,
    label: Annotated[str, typer.Option(help="Category of what these show (the bank's when left out).")] = "",
    severity: Annotated[
        Severity | None, typer.Option(help="Severity, when this call creates the bank (high).")
    ] = None,
    opinion: Annotated[
        Opinion | None, typer.Option(help="Opinion, when this call creates the bank (violating).")
    ] = None,
    note: Annotated[str, typer.Option(help="Free text kept with the entries.")] = "",
    entry_id: Annotated[
        str | None,
        typer.Option("--id", help="Id of the entry, for a single file (from its content when left out)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fingerprint known footage and add it to a bank; the bank is made when there is none.

    Every frame is hashed (PDQ on luma); frames of low quality and frames where the picture stands still
    are left out. All files are added, or none when one of them fails. A file that the bank has already
    is refused. Running gates take the change in by themselves.
    """
    if entry_id is not None and len(paths) > 1:
        raise typer.BadParameter("--id wants a single file", param_hint="--id")
    with reporting(as_json), progress_bar(as_json) as bar:
        target = _open_or_create(bank, label, severity, opinion)
        items = [_fingerprint(path, bar, entry_id, label, note) for path in paths]
        target.add(items)
    added = [
        {
            "id": item.entry.id,
            "kind": item.entry.kind,
            "path": str(path),
            "hashes": len(item.hashes),
            "duration_ms": item.entry.duration_ms,
        }
        for path, item in zip(paths, items, strict=True)
    ]
    if as_json:
        _print_json({"bank": str(target.path), "added": added})
        return
    for one in added:
        typer.echo(f"{one['id']}  {one['hashes']} hashes  {one['path']}")
    typer.echo(f"{target.path}: {target.manifest.entries} entries, {target.manifest.hashes} hashes")


@app.command("list")
def list_banks(
    path: Annotated[Path, typer.Argument(help="A directory of banks, or one bank.", metavar="DIR|DIR/NAME")],
    limit: Annotated[int, typer.Option(min=0, max=100_000, help="Entries shown of a single bank.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the banks of a directory, or the entries of one bank."""
    with reporting(as_json):
        if path.is_dir():
            _show_banks([Bank.open(file) for file in bank_files(path)], as_json)
        else:
            _show_entries(Bank.open(path), limit, as_json)


@app.command("export")
def export(
    bank: Annotated[Path, typer.Argument(help="The bank.", metavar="DIR/NAME")],
    as_json: AsJson = False,
) -> None:
    """Write a bank's hashes to stdout: CSV lines ``entry,start_ms,span_ms,quality,hash,variant``.

    With --json one object a line and entry, with its hashes.
    """
    with reporting(as_json):
        opened = Bank.open(bank)
        if not as_json:
            sys.stdout.write("entry,start_ms,span_ms,quality,hash,variant\n")
        for item in opened.footage():
            if as_json:
                _print_json(_footage_document(item))
                continue
            for run in item.hashes:
                fields = (run.start_ms, run.span_ms, run.quality, run.bits.hex(), run.variant.word)
                sys.stdout.write(f"{_csv(item.entry.id)},{','.join(map(str, fields))}\n")


def _open_or_create(path: Path, label: str, severity: Severity | None, opinion: Opinion | None) -> Bank:
    try:
        return Bank.open(path)
    except NotFound:
        said = {"label": label or None, "severity": severity, "opinion": opinion}
        return Bank.create(path, BankInfo.model_validate({k: v for k, v in said.items() if v is not None}))


def _fingerprint(path: Path, bar: Progress, entry_id: str | None, label: str, note: str) -> Footage:
    task = bar.add_task(path.name, total=None)

    def report(done_s: float, length_s: float) -> None:
        bar.update(task, completed=done_s, total=length_s or None)

    try:
        return fingerprint(
            path,
            entry_id=entry_id,
            label=label,
            note=note,
            added_ms=time.time_ns() // 1_000_000,
            progress=report,
        )
    finally:
        bar.remove_task(task)


def _show_banks(banks: list[Bank], as_json: bool) -> None:
    rows = [
        {
            "name": bank.name,
            "path": str(bank.path),
            "entries": bank.manifest.entries,
            "hashes": bank.manifest.hashes,
            "digest": bank.digest,
            **bank.info.model_dump(mode="json"),
        }
        for bank in banks
    ]
    if as_json:
        _print_json({"banks": rows})
        return
    table = Table("bank", "opinion", "label", "severity", "entries", "hashes", "enabled")
    for row in rows:
        named = ("name", "opinion", "label", "severity", "entries", "hashes", "enabled")
        table.add_row(*(str(row[column]) for column in named))
    Console().print(table)


def _show_entries(bank: Bank, limit: int, as_json: bool) -> None:
    shown: list[dict[str, Any]] = []
    for entry, enabled in bank.entries():
        if len(shown) == limit:
            break
        shown.append(
            {
                "id": entry.id,
                "kind": entry.kind,
                "label": entry.label or bank.info.label,
                "duration_ms": entry.duration_ms,
                "enabled": enabled,
                "source": entry.source,
                "note": entry.note,
                "added_ms": entry.added_ms,
            }
        )
    if as_json:
        _print_json({"bank": bank.name, "entries": bank.manifest.entries, "shown": shown})
        return
    table = Table("entry", "kind", "label", "seconds", "enabled", "source")
    for row in shown:
        seconds = f"{row['duration_ms'] / 1000:.1f}" if row["duration_ms"] else ""
        table.add_row(row["id"], row["kind"], row["label"], seconds, str(row["enabled"]), row["source"])
    Console().print(table)
    if bank.manifest.entries > len(shown):
        typer.echo(f"{bank.manifest.entries - len(shown)} more; raise --limit to see them", err=True)


def _footage_document(item: Footage) -> dict[str, Any]:
    entry = item.entry
    return {
        "id": entry.id,
        "kind": entry.kind,
        "label": entry.label,
        "source": entry.source,
        "note": entry.note,
        "duration_ms": entry.duration_ms,
        "added_ms": entry.added_ms,
        "hashes": [[r.bits.hex(), r.start_ms, r.span_ms, r.quality, r.variant.word] for r in item.hashes],
    }


def _csv(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"') else text


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
