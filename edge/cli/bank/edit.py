"""Changes a bank's properties and marks its entries."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from edge.cli.bank.options import BankArgument, BankOption, ByOption, progress, who
from edge.cli.output import JsonOption, print_json, print_line, print_table, reports_errors
from edge.errors import LimitExceeded, NotFound
from edge.match import Bank, BankPurpose, BankSeverity, bank_info, bank_path
from edge.match.bank.mark_notes import MAX_REASON, MarkNote

ReasonOption = Annotated[str, typer.Option(help="Why, kept beside the bank and shown to people.")]
EntriesArgument = Annotated[list[str], typer.Argument(help="Ids of entries.", metavar="ENTRY...")]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A command that sets one mark on entries."""

    done: str
    """The state of the entries afterwards, for people."""
    help: str
    apply: Callable[[Bank, list[str], MarkNote], None]


MARKS = {
    "enable": _Mark(
        "enabled", "Let entries match again.", lambda bank, ids, note: bank.set_enabled(ids, True, note)
    ),
    "disable": _Mark(
        "disabled",
        "Keep entries, but let them match nothing.",
        lambda bank, ids, note: bank.set_enabled(ids, False, note),
    ),
    "quarantine": _Mark(
        "quarantined",
        "Let entries ask for a person only, never for a cut. The gate does it to entries that run away.",
        lambda bank, ids, note: bank.set_quarantined(ids, True, note),
    ),
    "release": _Mark(
        "released",
        "Let quarantined entries cut again.",
        lambda bank, ids, note: bank.set_quarantined(ids, False, note),
    ),
    "remove": _Mark(
        "removed", "Take entries out of a bank.", lambda bank, ids, note: bank.remove(ids, note.by)
    ),
}


def mark_note(reason: str, by: str) -> MarkNote:
    """Raises LimitExceeded for a reason that is too long."""
    if len(reason) > MAX_REASON:
        raise LimitExceeded("--reason", MAX_REASON, len(reason), "characters")
    return MarkNote(by=who(by), reason=reason, wall_ms=time.time_ns() // 1_000_000)


def marking(mark: _Mark) -> Callable[..., None]:
    """Makes the command of a mark."""

    @reports_errors
    def command(
        entries: EntriesArgument,
        bank: BankOption,
        reason: ReasonOption = "",
        by: ByOption = "",
        as_json: JsonOption = False,
    ) -> None:
        note = mark_note(reason, by)
        opened = Bank.open(bank)
        mark.apply(opened, entries, note)
        if as_json:
            print_json({"bank": str(opened.path), mark.done: entries})
        else:
            print_line(f"{opened.path}: {len(entries)} {mark.done}")

    return command


@reports_errors
def set_(
    bank: BankArgument,
    opinion: Annotated[BankPurpose | None, typer.Option(help="What a match means for a stream.")] = None,
    severity: Annotated[BankSeverity | None, typer.Option()] = None,
    label: Annotated[str | None, typer.Option(help="Default category of entries.")] = None,
    source: Annotated[str | None, typer.Option(help="Source of the footage.")] = None,
    note: Annotated[str | None, typer.Option()] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Switch the whole bank on or off.")
    ] = None,
    enabled_ratio: Annotated[
        float | None,
        typer.Option(help="Share of the entries in use, 0 to 1. Start carefully with a small one."),
    ] = None,
    runaway_streams: Annotated[
        int | None,
        typer.Option(help="Matching streams in ten minutes above which an entry is quarantined. 0: never."),
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="UTC time from which the bank no longer matches.")
    ] = None,
    reason: ReasonOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Change a bank's properties. A missing bank is made. Without options: show them."""
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
            opened.change(bank_info(**(opened.info.model_dump() | wanted)), mark_note(reason, by))
    info = opened.info.model_dump(mode="json")
    if as_json:
        print_json({"bank": str(opened.path), **info})
    else:
        print_table(("", opened.name), list(info.items()), "")


@reports_errors
def accept(bank: BankArgument, as_json: JsonOption = False) -> None:
    """Put on record that what a bank has lost is meant to be gone, so that running gates take it.

    A bank that is gone, or that holds less than before without a removal on record, may be an older copy or
    another bank of that name. Gates then serve its last good copy. For a bank that is gone this command makes
    an empty one. Delete that file once the gates have taken it.
    """
    try:
        opened = Bank.open(bank)
    except NotFound:
        opened = Bank.create(bank)
    opened.accept_loss(time.time_ns() // 1_000_000)
    if as_json:
        print_json({"bank": str(opened.path), "entries": opened.manifest.entries})
    else:
        print_line(f"{opened.path}: {opened.manifest.entries} entries are all that is meant to be there")


@reports_errors
def compact(bank: BankArgument, as_json: JsonOption = False) -> None:
    """Rewrite a bank as one segment without removed entries. Running gates go on meanwhile."""
    opened = Bank.open(bank)
    before = sum(segment.size_bytes for segment in opened.segments)
    with progress(as_json) as bar:
        bar.add_task(opened.name, total=None)
        opened.compact()
    after = sum(segment.size_bytes for segment in opened.segments)
    if as_json:
        print_json({"bank": str(opened.path), "bytes_before": before, "bytes_after": after})
    else:
        print_line(f"{opened.path}: {before} bytes before, {after} after")
