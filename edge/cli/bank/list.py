"""Lists, exports and verifies banks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.bank.options import BankArgument, progress
from edge.cli.output import JsonOption, print_json, print_table, reports_errors, stderr
from edge.errors import NotFound
from edge.match import (
    Bank,
    HashListFormat,
    bank_files,
    bank_path,
    exposed,
    feed_checkpoints,
    write_hash_list,
)
from edge.match.bank.mark_notes import read_notes


@reports_errors
def list_(
    path: Annotated[Path, typer.Argument(help="A directory of banks, or one bank.", metavar="DIR|DIR/NAME")],
    limit: Annotated[
        int, typer.Option(min=0, max=100_000, help="Most entries to show of a single bank.")
    ] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the banks of a directory, or the entries of one bank."""
    _warn_of_readers(path)
    if path.is_dir():
        _list_banks([Bank.open(file) for file in bank_files(path)], as_json)
    else:
        _list_entries(Bank.open(path), limit, as_json)


@reports_errors
def export(
    bank: BankArgument,
    form: Annotated[
        HashListFormat | None,
        typer.Option("--format", help="Format to write (default: csv, with --json jsonl)."),
    ] = None,
    entry_id: Annotated[str | None, typer.Option("--entry", help="Only this entry.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a bank's hashes to stdout.

    jsonl loses nothing and csv loses only audio; both can be imported again. vpdq holds one entry (--entry).
    pdq holds hashes alone. stopncii cannot be written.
    """
    opened = Bank.open(bank)
    if entry_id is not None and not opened.has(entry_id):
        raise NotFound(f"entry of bank {opened.name}", entry_id)
    with progress(as_json or sys.stdout.isatty()) as bar:
        task = bar.add_task(opened.name, total=opened.manifest.entries)
        items = (
            item for item in bar.track(opened.footage(), task_id=task) if entry_id in (None, item.entry.id)
        )
        write_hash_list(items, sys.stdout, form or (HashListFormat.JSONL if as_json else HashListFormat.CSV))


@reports_errors
def verify(
    path: Annotated[Path, typer.Argument(help="A directory of banks, or one bank.", metavar="DIR|DIR/NAME")],
    as_json: JsonOption = False,
) -> None:
    """Read and check every byte of the banks. Exit with 1 at the first damaged bank."""
    _warn_of_readers(path)
    files = bank_files(path) if path.is_dir() else [bank_path(path)]
    checked = []
    for file in files:
        bank = Bank.open(file, verify=True)
        # Checksums cannot find a file that was written wrong. Reading every entry does.
        with progress(as_json) as bar:
            task = bar.add_task(bank.name, total=bank.manifest.entries)
            hashes = sounds = 0
            for item in bar.track(bank.footage(), task_id=task):
                hashes += len(item.hashes)
                sounds += item.audio is not None
        checked.append(
            {
                "bank": bank.name,
                "entries": bank.manifest.entries,
                "hashes": hashes,
                "sounds": sounds,
                "segments": len(bank.segments),
                "bytes": sum(segment.size_bytes for segment in bank.segments),
                "digest": bank.digest,
            }
        )
    if as_json:
        print_json({"banks": checked})
    else:
        columns = ("bank", "entries", "hashes", "sounds", "segments", "bytes")
        print_table(columns, [[c[column] for column in columns] for c in checked], "no banks")


def _warn_of_readers(path: Path) -> None:
    folder = path if path.is_dir() else path.parent
    if found := exposed(folder):
        names = ", ".join(each.name or str(each) for each in found[:3]) + (" …" if len(found) > 3 else "")
        stderr.print(
            f"warning: others can read {len(found)} of {folder}: {names}; run `chmod -R go= {folder}`",
            style="yellow",
            soft_wrap=True,
        )


def _list_banks(banks: list[Bank], as_json: bool) -> None:
    rows = [
        {
            "name": bank.name,
            "path": str(bank.path),
            "entries": bank.manifest.entries,
            "hashes": bank.manifest.hashes,
            "digest": bank.digest,
            "checkpoints": feed_checkpoints(bank.manifest.checkpoints),
            **bank.info.model_dump(mode="json"),
        }
        for bank in banks
    ]
    if as_json:
        print_json({"banks": rows})
        return
    columns = ("name", "opinion", "label", "severity", "entries", "hashes", "enabled")
    print_table(columns, [[row[column] for column in columns] for row in rows], "no banks")


def _list_entries(bank: Bank, limit: int, as_json: bool) -> None:
    shown: list[dict[str, Any]] = []
    quarantined = frozenset(bank.manifest.quarantined)
    notes = read_notes(bank.path)
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
                "quarantined": entry.id in quarantined,
                "source": entry.source,
                "note": entry.note,
                "added_ms": entry.added_ms,
                "marked": notes[entry.id].model_dump() if entry.id in notes else None,
            }
        )
    if as_json:
        print_json({"bank": bank.name, "entries": bank.manifest.entries, "shown": shown})
        return
    print_table(
        ("entry", "kind", "label", "seconds", "state", "source"),
        [
            (
                row["id"],
                row["kind"],
                row["label"],
                _seconds(row["duration_ms"]),
                _state(row),
                row["source"],
            )
            for row in shown
        ],
        "no entries",
    )
    if bank.manifest.entries > len(shown):
        stderr.print(f"{bank.manifest.entries - len(shown)} more; --limit shows them")


def _state(row: dict[str, Any]) -> str:
    if not row["enabled"]:
        return f"disabled{_why(row)}"
    return f"quarantined{_why(row)}" if row["quarantined"] else ""


def _why(row: dict[str, Any]) -> str:
    marked = row["marked"]
    return "" if marked is None else f" by {marked['by']}{': ' if marked['reason'] else ''}{marked['reason']}"


def _seconds(duration_ms: int) -> str:
    return f"{duration_ms / 1000:.1f}" if duration_ms else ""
