"""``edge-gate bank``: known footage in and out of the banks that live streams are matched against."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from edge.cli.output import JsonOption, print_json, print_table, reports_errors, stderr
from edge.errors import NotFound
from edge.match import (
    Bank,
    Existing,
    Footage,
    Format,
    Import,
    Lookup,
    Matcher,
    MatchVote,
    Opinion,
    Severity,
    VariantSet,
    bank_files,
    bank_info,
    bank_path,
    fingerprint,
    look_up,
    sniff,
    write,
)

app = typer.Typer(
    name="bank",
    help="Known footage: make, fill, check and export the banks that live streams are matched against.",
    no_args_is_help=True,
)

BankArgument = Annotated[Path, typer.Argument(help="The bank.", metavar="DIR/NAME")]
BankOption = Annotated[Path, typer.Option("--bank", "-b", help="The bank.", metavar="DIR/NAME")]
LabelOption = Annotated[str, typer.Option(help="Category of what these show (the bank's when left out).")]
SeverityOption = Annotated[
    Severity | None, typer.Option(help="Severity, when this call makes the bank (high when left out).")
]
OpinionOption = Annotated[
    Opinion | None, typer.Option(help="Opinion, when this call makes the bank (violating when left out).")
]
EntriesArgument = Annotated[list[str], typer.Argument(help="Ids of entries.", metavar="ENTRY...")]


@app.command("add")
@reports_errors
def add(
    paths: Annotated[list[Path], typer.Argument(help="Videos or images.", metavar="VIDEO|IMAGE...")],
    bank: BankOption,
    label: LabelOption = "",
    severity: SeverityOption = None,
    opinion: OpinionOption = None,
    note: Annotated[str, typer.Option(help="Free text kept with the entries.")] = "",
    variants: Annotated[
        VariantSet,
        typer.Option(help="Changed pictures banked with each frame: 16 (light) or 32 (full) more hashes."),
    ] = VariantSet.FULL,
    entry_id: Annotated[
        str | None, typer.Option("--id", help="Id of the entry, for a single file (of its content else).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fingerprint known footage and add it to a bank, which is made when there is none.

    Every frame is hashed, with variants that evaders make; low quality and stills are left out.

    All files are added, or none when one fails. A file that the bank has is refused. Running gates take
    the change in by themselves.
    """
    if entry_id is not None and len(paths) > 1:
        raise typer.BadParameter("wants a single file", param_hint="--id")
    with _progress(as_json) as bar:
        items = [_fingerprint(path, bar, entry_id, label, note, variants) for path in paths]
        with _open_or_create(bank, label, severity, opinion) as target:
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
        print_json({"bank": str(target.path), "added": added})
        return
    print_table(("entry", "hashes", "file"), [(a["id"], a["hashes"], a["path"]) for a in added], "")
    _say_size(target)


@app.command("import")
@reports_errors
def import_(
    path: Annotated[Path, typer.Argument(help="A hash list.", metavar="FILE")],
    bank: BankOption,
    form: Annotated[
        Format | None, typer.Option("--format", help="Format of the file (recognised when left out).")
    ] = None,
    label: LabelOption = "",
    severity: SeverityOption = None,
    opinion: OpinionOption = None,
    existing: Annotated[
        Existing, typer.Option(help="What to do with entries that the bank has already.")
    ] = Existing.SKIP,
    min_quality: Annotated[int, typer.Option(min=0, max=100, help="Leave out hashes of less quality.")] = 50,
    entry_id: Annotated[
        str | None, typer.Option("--id", help="Id of the video of a vpdq file (its name else).")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="Position in the feed to store with what is read, shown by `bank list`.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Take in a hash list of others, whole or not at all.

    Formats: vpdq, vpdq-json (python-threatexchange), pdq (a hash a line), csv, stopncii, jsonl.

    Withdrawals in the list remove entries. A wrong line ends the import with its number, and the bank
    stays as it was.
    """
    with _progress(as_json) as bar:
        task = bar.add_task(path.name, total=path.stat().st_size if path.is_file() else None)
        changes = Import(
            path,
            form or sniff(path),
            entry_id=entry_id,
            label=label,
            added_ms=time.time_ns() // 1_000_000,
            min_quality=min_quality,
            progress=lambda done: bar.update(task, completed=done),
        )

        def checkpoints() -> dict[str, str]:
            return changes.checkpoints | ({path.name[:256]: checkpoint} if checkpoint else {})

        with _open_or_create(bank, label, severity, opinion) as target:
            updated = target.update(changes, existing=existing, checkpoints=checkpoints)
    said = {
        "bank": str(target.path),
        "format": changes.format,
        "added": updated.added,
        "replaced": updated.replaced,
        "skipped": updated.skipped,
        "removed": updated.removed,
        "low_quality_hashes": changes.low_quality,
        "other_kinds": changes.other_kinds,
        "checkpoints": dict(target.manifest.checkpoints),
    }
    if as_json:
        print_json(said)
        return
    print_table(("", ""), [(k.replace("_", " "), v) for k, v in said.items() if k != "checkpoints"], "")
    _say_size(target)


@app.command("list")
@reports_errors
def list_(
    path: Annotated[Path, typer.Argument(help="A directory of banks, or one bank.", metavar="DIR|DIR/NAME")],
    limit: Annotated[int, typer.Option(min=0, max=100_000, help="Entries shown of a single bank.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the banks of a directory, or the entries of one bank."""
    if path.is_dir():
        _list_banks([Bank.open(file) for file in bank_files(path)], as_json)
    else:
        _list_entries(Bank.open(path), limit, as_json)


@app.command("export")
@reports_errors
def export(
    bank: BankArgument,
    form: Annotated[
        Format | None, typer.Option("--format", help="csv when left out; jsonl with --json.")
    ] = None,
    entry_id: Annotated[str | None, typer.Option("--entry", help="Only this entry.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a bank's hashes to stdout.

    csv and jsonl lose nothing and can be imported again; vpdq holds a single entry (--entry); pdq holds
    hashes alone. stopncii is only read.
    """
    opened = Bank.open(bank)
    if entry_id is not None and not opened.has(entry_id):
        raise NotFound(f"entry of bank {opened.name}", entry_id)
    items = (item for item in opened.footage() if entry_id in (None, item.entry.id))
    write(items, sys.stdout, form or (Format.JSONL if as_json else Format.CSV))


@app.command("match")
@reports_errors
def match(
    paths: Annotated[list[Path], typer.Argument(help="Videos or images.", metavar="FILE...")],
    banks: Annotated[Path, typer.Option("--banks", "-b", help="Directory of banks.", metavar="DIR")],
    radius: Annotated[int, typer.Option(min=0, max=31, help="Hamming distance in bits, of 256.")] = 31,
    interval_ms: Annotated[int, typer.Option(min=1, max=60_000, help="Media time between samples.")] = 200,
    k: Annotated[int, typer.Option(min=1, max=64, help="Samples on the same entry …")] = 3,
    n: Annotated[int, typer.Option(min=1, max=64, help="… of the last n before it counts.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Look recorded files up in the banks, by the same samples, search and vote as the live path.

    A single image counts when it is within the radius. With --json one object a file.
    """
    matcher = Matcher.open(banks, radius=radius)
    rows = []
    with _progress(as_json) as bar:
        for path in paths:
            report = _looked_up(path, _look_up(path, matcher, MatchVote(k, n), interval_ms, bar))
            rows.append(report)
            if as_json:
                print_json(report)
    if not as_json:
        print_table(
            ("file", "entry", "bank", "category", "first s", "distance", "samples"),
            [
                (r["path"], m["entry"], m["bank"], m["category"], m["first_s"], m["distance"], m["samples"])
                for r in rows
                for m in r["matches"]
            ],
            "no match",
        )


@app.command("verify")
@reports_errors
def verify(
    path: Annotated[Path, typer.Argument(help="A directory of banks, or one bank.", metavar="DIR|DIR/NAME")],
    as_json: JsonOption = False,
) -> None:
    """Read every byte of banks and check it; exits with 1 at the first that is not whole."""
    files = bank_files(path) if path.is_dir() else [bank_path(path)]
    checked = []
    for file in files:
        bank = Bank.open(file, verify=True)
        # Reading every entry finds what checksums cannot: a file that was written wrong.
        hashes = sum(len(item.hashes) for item in bank.footage())
        checked.append(
            {
                "bank": bank.name,
                "entries": bank.manifest.entries,
                "hashes": hashes,
                "segments": len(bank.segments),
                "bytes": sum(segment.size_bytes for segment in bank.segments),
                "digest": bank.digest,
            }
        )
    if as_json:
        print_json({"banks": checked})
    else:
        columns = ("bank", "entries", "hashes", "segments", "bytes")
        print_table(columns, [[c[column] for column in columns] for c in checked], "no banks")


@app.command("enable")
@reports_errors
def enable(entries: EntriesArgument, bank: BankOption, as_json: JsonOption = False) -> None:
    """Let entries match again."""
    opened = Bank.open(bank)
    opened.set_enabled(entries, True)
    _say_changed(opened, "enabled", entries, as_json)


@app.command("disable")
@reports_errors
def disable(entries: EntriesArgument, bank: BankOption, as_json: JsonOption = False) -> None:
    """Keep entries, but let them match nothing."""
    opened = Bank.open(bank)
    opened.set_enabled(entries, False)
    _say_changed(opened, "disabled", entries, as_json)


@app.command("quarantine")
@reports_errors
def quarantine(entries: EntriesArgument, bank: BankOption, as_json: JsonOption = False) -> None:
    """Let entries ask for a person only, never for a cut; done by itself to runaway entries."""
    opened = Bank.open(bank)
    opened.set_quarantined(entries, True)
    _say_changed(opened, "quarantined", entries, as_json)


@app.command("release")
@reports_errors
def release(entries: EntriesArgument, bank: BankOption, as_json: JsonOption = False) -> None:
    """Let quarantined entries cut again."""
    opened = Bank.open(bank)
    opened.set_quarantined(entries, False)
    _say_changed(opened, "released", entries, as_json)


@app.command("remove")
@reports_errors
def remove(entries: EntriesArgument, bank: BankOption, as_json: JsonOption = False) -> None:
    """Take entries out of a bank."""
    opened = Bank.open(bank)
    opened.remove(entries)
    _say_changed(opened, "removed", entries, as_json)


@app.command("set")
@reports_errors
def set_(
    bank: BankArgument,
    opinion: Annotated[Opinion | None, typer.Option(help="What a match means.")] = None,
    severity: Annotated[Severity | None, typer.Option()] = None,
    label: Annotated[str | None, typer.Option(help="Category of entries without one of their own.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the footage comes from.")] = None,
    note: Annotated[str | None, typer.Option()] = None,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="The whole bank.")] = None,
    enabled_ratio: Annotated[
        float | None, typer.Option(help="Share of the entries in use, 0 to 1, for a careful start.")
    ] = None,
    runaway_streams: Annotated[
        int | None, typer.Option(help="Streams in ten minutes over which an entry is quarantined; 0: never.")
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="UTC time after which the bank no longer matches.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is said about a bank, and make it when there is none. Without options: show it."""
    said: dict[str, Any] = {
        "opinion": opinion,
        "severity": severity,
        "label": label,
        "source": source,
        "note": note,
        "enabled": enabled,
        "enabled_ratio": enabled_ratio,
        "runaway_streams": runaway_streams,
        "expires_ms": None if expires is None else int(expires.replace(tzinfo=UTC).timestamp() * 1000),
    }
    wanted = {name: value for name, value in said.items() if value is not None}
    if not bank_path(bank).exists():
        opened = Bank.create(bank, bank_info(**wanted))
    else:
        opened = Bank.open(bank)
        if wanted:
            opened.change(bank_info(**(opened.info.model_dump() | wanted)))
    info = opened.info.model_dump(mode="json")
    if as_json:
        print_json({"bank": str(opened.path), **info})
    else:
        print_table(("", opened.name), list(info.items()), "")


@app.command("compact")
@reports_errors
def compact(bank: BankArgument, as_json: JsonOption = False) -> None:
    """Write a bank anew as one segment, without what was removed. Running gates go on meanwhile."""
    opened = Bank.open(bank)
    before = sum(segment.size_bytes for segment in opened.segments)
    opened.compact()
    after = sum(segment.size_bytes for segment in opened.segments)
    if as_json:
        print_json({"bank": str(opened.path), "bytes_before": before, "bytes_after": after})
    else:
        typer.echo(f"{opened.path}: {before} bytes before, {after} after")


def _look_up(path: Path, matcher: Matcher, vote: MatchVote, interval_ms: int, bar: Progress) -> Lookup:
    task = bar.add_task(path.name, total=None)
    try:
        return look_up(
            path,
            matcher,
            vote,
            interval_ms=interval_ms,
            progress=lambda done_s, length_s: _advance(bar, task, done_s, length_s),
        )
    finally:
        bar.remove_task(task)


def _looked_up(path: Path, looked: Lookup) -> dict[str, Any]:
    nearest = looked.nearest
    return {
        "path": str(path),
        "samples": looked.samples,
        "matches": [
            {
                "entry": one.entry,
                "bank": one.bank,
                "category": one.category,
                "first_s": one.first_ms / 1000,
                "distance": one.distance,
                "samples": one.samples,
                "detail": one.detail,
            }
            for one in looked.found
        ],
        "nearest": None
        if nearest is None
        else {"entry": nearest.entry, "bank": nearest.bank, "distance": nearest.distance},
        "near_samples": {f"{bank}/{entry}": count for (bank, entry), count in looked.near.most_common(16)},
    }


@contextmanager
def _open_or_create(
    path: Path, label: str, severity: Severity | None, opinion: Opinion | None
) -> Iterator[Bank]:
    """The bank; one made for a change that then fails is gone again."""
    try:
        yield Bank.open(path)
        return
    except NotFound as error:
        if error.kind != "bank":
            raise
    said = {"label": label or None, "severity": severity, "opinion": opinion}
    bank = Bank.create(path, bank_info(**{k: v for k, v in said.items() if v is not None}))
    try:
        yield bank
    except BaseException:
        bank.path.unlink()
        raise


def _fingerprint(
    path: Path, bar: Progress, entry_id: str | None, label: str, note: str, variants: VariantSet
) -> Footage:
    task = bar.add_task(path.name, total=None)
    try:
        return fingerprint(
            path,
            entry_id=entry_id,
            label=label,
            note=note,
            variants=variants,
            added_ms=time.time_ns() // 1_000_000,
            progress=lambda done_s, length_s: _advance(bar, task, done_s, length_s),
        )
    finally:
        bar.remove_task(task)


@contextmanager
def _progress(as_json: bool) -> Iterator[Progress]:
    """A bar on stderr; silent with --json and where stderr is not a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=stderr,
        disable=as_json or not stderr.is_terminal,
        transient=True,
    ) as bar:
        yield bar


def _advance(bar: Progress, task: TaskID, done_s: float, length_s: float) -> None:
    bar.update(task, completed=done_s, total=length_s or None)


def _list_banks(banks: list[Bank], as_json: bool) -> None:
    rows = [
        {
            "name": bank.name,
            "path": str(bank.path),
            "entries": bank.manifest.entries,
            "hashes": bank.manifest.hashes,
            "digest": bank.digest,
            "checkpoints": dict(bank.manifest.checkpoints),
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
            }
        )
    if as_json:
        print_json({"bank": bank.name, "entries": bank.manifest.entries, "shown": shown})
        return
    print_table(
        ("entry", "kind", "label", "seconds", "enabled", "source"),
        [
            (
                row["id"],
                row["kind"],
                row["label"],
                _seconds(row["duration_ms"]),
                row["enabled"],
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
        return "disabled"
    return "quarantined" if row["quarantined"] else ""


def _seconds(duration_ms: int) -> str:
    return f"{duration_ms / 1000:.1f}" if duration_ms else ""


def _say_size(bank: Bank) -> None:
    typer.echo(f"{bank.path}: {bank.manifest.entries} entries, {bank.manifest.hashes} hashes")


def _say_changed(bank: Bank, what: str, entries: list[str], as_json: bool) -> None:
    if as_json:
        print_json({"bank": str(bank.path), what: entries})
    else:
        typer.echo(f"{bank.path}: {len(entries)} {what}")
