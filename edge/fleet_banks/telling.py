"""Tells the fleet what a gate's folder has besides, as new changes with the files that they name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from edge.domain import INCIDENT_BANK
from edge.fleet_banks.bank_change import (
    MOST_IDS,
    SAID_IDS,
    EntriesAdded,
    EntriesMarked,
    EntriesWithdrawn,
    FeedsRead,
    MarkedEntry,
    SettingsChanged,
    new_change,
)
from edge.fleet_banks.files import store_segment
from edge.fleet_banks.made_segments import segments_of
from edge.ledger import Ledger
from edge.ledger.bank_changes import BankPosition, NewBankChange
from edge.match import Bank, Footage
from edge.match.bank.bank_difference import BankDifference
from edge.match.bank.manifest import CHANGED_BY, SegmentName
from edge.match.bank.mark_notes import THE_BANK, MarkNote, read_notes
from edge.match.bank.segment import Segment

_AT_ONCE_CHARS: Final = 1 << 19
"""Characters of changes after which a transaction ends."""
SOMEBODY: Final = "unknown"
"""Who changed a folder without saying so."""

Value = TypeVar("Value")


def changes_of(
    bank: Bank, difference: BankDifference, ledger: Ledger, scratch: Path, wall_ms: int
) -> Iterator[NewBankChange]:
    """Yields the changes that a difference makes. The files that one names are stored before it.

    ``scratch`` is a path for segments that are made on the way. Withdrawals come first.
    """
    notes = read_notes(bank.path)
    who = bank.manifest.checkpoints.get(CHANGED_BY) or ("gate" if bank.name == INCIDENT_BANK else SOMEBODY)

    def by(note: MarkNote | None) -> str:
        return who if note is None or not note.by else note.by

    if difference.settings:
        note = notes.get(THE_BANK) if "enabled" in difference.settings else None
        yield new_change(SettingsChanged(settings=dict(difference.settings), note=note), by(note))
    for ids in _batches(difference.withdrawn):
        yield new_change(EntriesWithdrawn(ids=ids), who)
    for segment, name in difference.whole:
        if len(name.removed) > MOST_IDS:
            removed = frozenset(name.removed)
            left = (item for item in segment.footage() if item.entry.id not in removed)
            yield from _added_anew(left, ledger, scratch, wall_ms, who)
        else:
            yield _added(segment, segment.path, name, ledger, wall_ms, who)
    yield from _added_anew(difference.added, ledger, scratch, wall_ms, who)
    marks = [
        MarkedEntry(entry=mark.entry, mark=mark.mark, on=mark.on, note=notes.get(mark.entry))
        for mark in difference.marks
    ]
    marks.sort(key=lambda mark: by(mark.note))
    for marker, theirs in itertools.groupby(marks, key=lambda mark: by(mark.note)):
        for batch in _batches(tuple(theirs)):
            yield new_change(EntriesMarked(marks=batch), marker)
    if difference.checkpoints:
        yield new_change(FeedsRead(checkpoints=dict(difference.checkpoints)), who)


def told(
    ledger: Ledger, bank: str, after: BankPosition, changes: Iterable[NewBankChange], wall_ms: int
) -> BankPosition:
    """Appends changes to a bank's line, a few at a time. Raises StaleVersion where others were faster."""
    batch, held = [], 0
    for change in changes:
        batch.append(change)
        held += len(change.detail) + len(change.audited)
        if held >= _AT_ONCE_CHARS:
            after = ledger.put_bank_changes(bank, after, batch, wall_ms)
            batch, held = [], 0
    return ledger.put_bank_changes(bank, after, batch, wall_ms) if batch else after


def _added_anew(
    items: Iterable[Footage], ledger: Ledger, scratch: Path, wall_ms: int, who: str
) -> Iterator[NewBankChange]:
    for segment, name in segments_of(items, scratch):
        yield _added(segment, segment.path, name, ledger, wall_ms, who)


def _added(
    segment: Segment, path: Path, name: SegmentName, ledger: Ledger, wall_ms: int, who: str
) -> NewBankChange:
    size = store_segment(ledger, path, name, wall_ms)
    first = list(itertools.islice(segment.all_entries(), SAID_IDS))
    added = EntriesAdded(
        segment=name,
        bytes=size,
        ids=tuple(entry.id for entry in first),
        sources=tuple(sorted({entry.source for entry in first if entry.source})),
    )
    return new_change(added, who)


def _batches(values: Sequence[Value]) -> Iterator[tuple[Value, ...]]:
    for begin in range(0, len(values), MOST_IDS):
        yield tuple(values[begin : begin + MOST_IDS])
