"""What people see of a gate's banks and do with them. Each change is on record before it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from edge.errors import BankError, InvalidInput, NotFound
from edge.match import Entry
from edge.match.bank.mark_notes import MAX_REASON, MarkNote
from edge.supervise.bank_hits import BankHits, HitCount, MatchCount
from edge.supervise.bank_reading import BankReading, ServedBank
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.context import Context
from edge.supervise.counted_matches import CountedMatches
from edge.telemetry.records import BankChanged

_MOST_PLACE: Final = 2**31
Answer = TypeVar("Answer")


class EntryMark(StrEnum):
    """What is done with an entry, in the words of `edge-gate bank`."""

    DISABLE = "disable"
    ENABLE = "enable"
    QUARANTINE = "quarantine"
    RELEASE = "release"


class EntryState(StrEnum):
    """Which of a bank's entries."""

    ALL = "all"
    DISABLED = "disabled"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class ServedEntry:
    """An entry with its marks and hits."""

    entry: Entry
    label: str
    disabled: bool
    quarantined: bool
    marked: MarkNote | None
    hits: MatchCount


@dataclass(frozen=True, slots=True)
class EntryPage:
    bank: ServedBank
    entries: tuple[ServedEntry, ...]
    next: str
    """Empty on the last page."""


class BankDesk:
    """The banks of one gate."""

    def __init__(
        self, context: Context, updates: BankUpdates, source: Path, copies: Path, counted: CountedMatches
    ) -> None:
        self._context = context
        self._updates = updates
        self._reading = BankReading(source, copies)
        self._one_at_a_time = asyncio.Lock()
        self._hits = BankHits(context, counted)

    async def hits(self) -> HitCount:
        """Raises LedgerUnavailable."""
        return await self._hits.count()

    async def banks(self) -> tuple[ServedBank, ...]:
        """Raises BankError when their folder cannot be read."""
        return await self._read(self._reading.banks)

    async def bank(self, name: str) -> ServedBank:
        return await self._read(lambda: self._reading.bank(name))

    async def entries(self, name: str, state: EntryState, entry_id: str, after: str, limit: int) -> EntryPage:
        """One page of a bank's entries. Raises NotFound, InvalidInput and BankError."""
        start = _place(after)
        bank = await self.bank(name)
        counted = await self.hits()
        next_place: int | None = None
        if entry_id:
            one = await self._read(lambda: self._reading.entry(name, entry_id))
            found = [] if one is None else [one]
        elif state is EntryState.ALL:
            found, next_place = await self._read(lambda: self._reading.entries(name, start, limit))
        else:
            ids = getattr(bank.manifest, state.value)
            found = await self._read(lambda: list(self._reading.named(name, ids[start : start + limit])))
            next_place = start + limit if start + limit < len(ids) else None
        return EntryPage(
            bank,
            tuple(_served(bank, entry, counted) for entry in found),
            "" if next_place is None else str(next_place),
        )

    async def mark(self, name: str, entry_id: str, mark: EntryMark, reason: str, by: str) -> ServedEntry:
        """Marks an entry, or takes a mark off. The workers have it within seconds.

        Raises NotFound, BankError and LedgerUnavailable.
        """
        await self._usable(name)
        entry = await self._read(lambda: self._reading.entry(name, entry_id))
        if entry is None:
            raise NotFound(f"entry of bank {name}", entry_id)
        await self._note(f"bank_entry_{mark}", name, entry_id, reason, by)
        await self._made(self._updates.mark(name, mark.value, entry_id, reason[:MAX_REASON], by))
        return _served(await self.bank(name), entry, await self.hits())

    async def switch(self, name: str, enabled: bool, reason: str, by: str) -> ServedBank:
        """Switches a bank on or off. The workers have it within seconds.

        Raises NotFound, BankError and LedgerUnavailable.
        """
        await self._usable(name)
        await self._note("bank_on" if enabled else "bank_off", name, "", reason, by)
        await self._made(self._updates.switch(name, enabled, reason[:MAX_REASON], by))
        return await self.bank(name)

    async def _usable(self, name: str) -> None:
        bank = await self.bank(name)
        if bank.problem:
            raise BankError(bank.problem)

    async def _note(self, what: str, name: str, entry_id: str, reason: str, by: str) -> None:
        context = self._context
        context.telemetry.report(BankChanged(what, name, entry_id, reason, by))
        await context.executor.person(
            context.operator_ledger.note_bank_change,
            what,
            name,
            entry_id,
            reason,
            by,
            context.clock.wall_ms(),
        )

    async def _made(self, change: Awaitable[None]) -> None:
        try:
            await change
        except OSError as error:  # no process can be started now
            raise BankError(str(error)) from None

    async def _read(self, read: Callable[[], Answer]) -> Answer:
        async with self._one_at_a_time:
            return await asyncio.to_thread(read)


def _served(bank: ServedBank, entry: Entry, counted: HitCount) -> ServedEntry:
    return ServedEntry(
        entry,
        entry.label or bank.manifest.info.label,
        entry.id in bank.disabled,
        entry.id in bank.quarantined,
        bank.notes.get(entry.id),
        counted.entries.get((bank.name, entry.id), MatchCount()),
    )


def _place(after: str) -> int:
    if not after:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) <= 10 and int(after) < _MOST_PLACE):
        raise InvalidInput("after", "must be `next` of the page before")
    return int(after)
