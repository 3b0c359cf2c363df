"""Adds known footage to a bank: fingerprints files and imports hash lists."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.progress import Progress

from edge.cli.bank.options import (
    BankOption,
    ByOption,
    LabelOption,
    OpinionOption,
    SeverityOption,
    advance,
    open_or_create,
    progress,
    say_size,
    who,
)
from edge.cli.left_out import print_left_out
from edge.cli.output import JsonOption, print_json, print_table, reports_errors, stderr
from edge.errors import AlreadyExists, ConfigError, GateError
from edge.match import (
    MISSING,
    Bank,
    Damage,
    Existing,
    Footage,
    HashListFormat,
    Import,
    ImportStage,
    VariantSet,
    available,
    bank_path,
    content_id,
    feed_checkpoints,
    fingerprint_contained,
    sniff,
)
from edge.printable import printable
from edge.replay import FoundFiles, LeftOut

_BATCH_HASHES: Final = 500_000
"""Hashes of a folder that are kept in memory before they go into the bank: over a hundred megabytes."""
_Taken: TypeAlias = tuple[Footage, dict[str, Any]]
"""A fingerprinted file, and what is told of it."""


@reports_errors
def add(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Videos, images or audio, or folders of them.", metavar="FILE|FOLDER..."),
    ],
    bank: BankOption,
    label: LabelOption = "",
    severity: SeverityOption = None,
    opinion: OpinionOption = None,
    note: Annotated[str, typer.Option(help="Free text kept with the entries.")] = "",
    variants: Annotated[
        VariantSet,
        typer.Option(help="Variants banked with each frame: 16 (light), 32 (full) or 50 (wide) more hashes."),
    ] = VariantSet.WIDE,
    entry_id: Annotated[
        str | None,
        typer.Option("--id", help="Id of the entry, for a single file (default: from its content)."),
    ] = None,
    audio: Annotated[
        bool | None,
        typer.Option(
            "--sound/--no-sound",
            help="Fingerprint the audio, too, of at least six seconds (when left out: where libchromaprint "
            "is installed).",
        ),
    ] = None,
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Fingerprint known footage and add it to a bank. A missing bank is made.

    Every frame is hashed with likely evasions of it. Frames of low quality and stills are left out. A file
    without video is known by its audio. Music that everybody plays belongs into a benign bank.

    Damaged video packets are left out and counted. More than sixty in a row are an error.

    Either all named files are added or none. A named file that the bank has is refused. Running gates pick
    the change up by themselves.

    Of a folder, whatever is media is added, also from folders below it. What the bank has, and what is
    something else (text, a pipe, a link to a folder), is left out and listed. Media that cannot be read or
    recognised by its frames is listed, too, and makes the exit code 1. The rest is added.
    """
    found = FoundFiles.of(paths)
    named = [path for index, path in enumerate(found.files) if index not in found.in_folders]
    others = [path for index, path in enumerate(found.files) if index in found.in_folders]
    if entry_id is not None and (others or len(named) != 1):
        raise typer.BadParameter("wants a single file", param_hint="--id")
    added: list[dict[str, Any]] = []
    with progress(as_json) as bar:

        def take(path: Path) -> _Taken:
            damage = Damage()
            item = _fingerprint(path, bar, entry_id, label, note, variants, audio, damage)
            return item, _row(path, item, damage)

        def add_all(taken: list[_Taken]) -> None:
            if taken:
                with open_or_create(bank, label, severity, opinion) as target:
                    target.add_footage([item for item, _ in taken], who(by))
                added.extend(row for _, row in taken)

        add_all([take(path) for path in named])
        left_out = found.left_out + _add_folder(others, bank, take, add_all)
    if as_json:
        print_json(
            {"bank": str(bank_path(bank)), "added": added, "left_out": [each.as_json() for each in left_out]}
        )
    else:
        columns = ("id", "hashes", "sound_items", "path")
        rows = [[a[c] for c in columns] for a in added]
        print_table(("entry", "hashes", "audio items", "file"), rows, "nothing was added")
        for row in added:
            if row["damaged_packets"]:
                stderr.print(
                    f"{row['path']}: {row['damaged_packets']} damaged packets are left out: what they show "
                    "is not known footage",
                    soft_wrap=True,
                )
        print_left_out(left_out)
        if audio is None and not available():
            stderr.print(MISSING, soft_wrap=True)
        if added:
            say_size(Bank.open(bank))
    there = any(each.reason == AlreadyExists.reason for each in left_out)
    if any(each.failed for each in left_out) or not (added or there):
        raise typer.Exit(1)


@reports_errors
def import_(
    path: Annotated[Path, typer.Argument(help="A hash list.", metavar="FILE")],
    bank: BankOption,
    form: Annotated[
        HashListFormat | None, typer.Option("--format", help="Format of the file (default: recognised).")
    ] = None,
    label: LabelOption = "",
    severity: SeverityOption = None,
    opinion: OpinionOption = None,
    existing: Annotated[
        Existing, typer.Option(help="What to do with entries that the bank has.")
    ] = Existing.SKIP,
    min_quality: Annotated[
        int, typer.Option(min=0, max=100, help="Leave out hashes below this quality.")
    ] = 50,
    entry_id: Annotated[
        str | None, typer.Option("--id", help="Id of the video of a vpdq file (default: the file's name).")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="Feed position to store with the import. `bank list` shows it.")
    ] = "",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue an interrupted import, or import only what the file gained since."
        ),
    ] = False,
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Import a hash list, whole or not at all.

    Formats: vpdq, vpdq-json (python-threatexchange), pdq (a hash a line), csv, stopncii, jsonl. csv may be
    separated by comma, semicolon or tab, with a header or as pdq-photo-hasher and tx dataset --csv write it.

    Withdrawals in the list remove entries. A wrong line ends the import with its number, and the bank stays
    as it was.

    A long import keeps its progress beside the bank, where nothing matches it. After an interruption
    --resume continues there. After a finished import --resume reads only what the file gained since. When
    the file, the bank's entries or the options have changed, the import starts again.
    """
    with progress(as_json) as bar:
        task = bar.add_task(printable(path.name), total=path.stat().st_size if path.is_file() else None)
        changes = Import(
            path,
            form or sniff(path),
            entry_id=entry_id,
            label=label,
            added_ms=time.time_ns() // 1_000_000,
            min_quality=min_quality,
            progress=lambda done: bar.update(task, completed=done),
        )

        with open_or_create(bank, label, severity, opinion) as target:
            stage = ImportStage(
                target.path,
                changes,
                existing=existing,
                resume=resume,
                checkpoints=target.manifest.checkpoints,
            )

            def checkpoints() -> dict[str, str]:
                said = {path.name[:256]: checkpoint} if checkpoint else {}
                return changes.checkpoints | stage.checkpoints | said

            try:
                updated = target.update(
                    changes, existing=existing, checkpoints=checkpoints, stage=stage, by=who(by)
                )
            except BaseException:
                if (kept := stage.kept) is not None:
                    stderr.print(
                        f"{path}: kept up to line {kept.line}; --resume goes on from there",
                        soft_wrap=True,
                    )
                raise
    said = {
        "bank": str(target.path),
        "format": changes.format,
        "resumed_after_line": stage.resumed_at.line if stage.resumed_at else 0,
        "added": updated.added,
        "replaced": updated.replaced,
        "skipped": updated.skipped,
        "removed": updated.removed,
        "low_quality_hashes": changes.low_quality,
        "other_kinds": changes.other_kinds,
        "not_violating": changes.not_violating,
        "checkpoints": feed_checkpoints(target.manifest.checkpoints),
    }
    if as_json:
        print_json(said)
        return
    print_table(("", ""), [(k.replace("_", " "), v) for k, v in said.items() if k != "checkpoints"], "")
    say_size(target)


def _add_folder(
    paths: Sequence[Path],
    bank: Path,
    take: Callable[[Path], _Taken],
    add_all: Callable[[list[_Taken]], None],
) -> list[LeftOut]:
    """Adds what nobody has named, a batch at a time, so that a second call goes on after an interruption.
    Returns what is left out."""
    left_out: list[LeftOut] = []
    there = Bank.open(bank) if bank_path(bank).exists() else None
    seen: dict[str, Path] = {}
    batch: list[_Taken] = []
    for path in paths:
        try:
            entry_id = content_id(path)
            if entry_id in seen:
                left_out.append(LeftOut(path, f"is the same as {seen[entry_id]}", AlreadyExists.reason))
                continue
            seen[entry_id] = path
            if there is not None and there.has(entry_id):
                left_out.append(LeftOut(path, "is in the bank", AlreadyExists.reason))
                continue
            batch.append(take(path))
        except ConfigError:
            raise
        except (GateError, OSError) as error:
            left_out.append(LeftOut.by_error(path, error))
        if sum(len(item.hashes) for item, _ in batch) >= _BATCH_HASHES:
            add_all(batch)
            batch = []
    add_all(batch)
    return left_out


def _row(path: Path, item: Footage, damage: Damage) -> dict[str, Any]:
    return {
        "id": item.entry.id,
        "kind": item.entry.kind,
        "path": str(path),
        "hashes": len(item.hashes),
        "sound_items": 0 if item.audio is None else len(item.audio),
        "duration_ms": item.entry.duration_ms,
        "damaged_packets": damage.packets,
    }


def _fingerprint(
    path: Path,
    bar: Progress,
    entry_id: str | None,
    label: str,
    note: str,
    variants: VariantSet,
    audio: bool | None,
    damage: Damage,
) -> Footage:
    task = bar.add_task(printable(path.name), total=None)
    try:
        return fingerprint_contained(
            path,
            entry_id=entry_id,
            label=label,
            note=note,
            variants=variants,
            audio=audio,
            added_ms=time.time_ns() // 1_000_000,
            progress=lambda done_s, length_s: advance(bar, task, done_s, length_s),
            damage=damage,
        )
    finally:
        bar.remove_task(task)
