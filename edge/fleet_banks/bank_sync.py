"""Keeps a gate's folder of banks and the ledger's log of bank changes in step.

A round takes in what other gates have told, and tells what this gate's folder has besides. That is found by
comparing the folder with what the fleet had in common: whoever has changed it, the database away or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from edge.domain import INCIDENT_BANK
from edge.errors import BankError, GateError, InvalidInput, LedgerUnavailable, StaleVersion
from edge.fleet_banks.bank_change import (
    BankChange,
    BankDeleted,
    EntriesAdded,
    EntriesMarked,
    EntriesWithdrawn,
    FeedsRead,
    SettingsChanged,
    new_change,
    read_change,
)
from edge.fleet_banks.files import stored_segment
from edge.fleet_banks.gate_bank import GateBank
from edge.fleet_banks.sealing import seal, take_sealed
from edge.fleet_banks.telling import changes_of, told
from edge.ledger import Ledger
from edge.ledger.bank_changes import BANK_PAGE, BankChangeRow, BankPosition
from edge.ledger.tables import bank_changes
from edge.match import bank_files, bank_path
from edge.match.bank.bank_difference import MarkChange
from edge.match.bank.bank_set import stamp_of
from edge.match.bank.manifest import SUFFIX
from edge.match.bank.verified_copies import tidy

_TRIES: Final = 5
"""Times that a bank is told in one round while other gates are faster."""
AGAIN_MS: Final = 30_000
"""Pause until a bank with a problem is tried again although nothing has changed."""
TIDY_MS: Final = 3_600_000
"""Interval at which files that no change names are removed from the ledger."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Round:
    """What a round has done."""

    taken: int = 0
    """Changes of other gates."""
    told: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    """Banks that stay as they are, each with the reason."""
    unknown: int = 0
    """Changes met so far that this gate does not know."""


@dataclass(frozen=True, slots=True)
class _AtRest:
    """A bank as a round found it."""

    stamp: object
    """Of its file."""
    head: BankPosition


class BankSync:
    """Used by one thread of one process. Blocking."""

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        common: Path,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        coming: Callable[[str, int, int], None] = lambda bank, done, of: None,
    ) -> None:
        """``common`` is a folder of this gate's own, on the disk of ``folder`` if that is possible.

        ``coming`` is told of which bank how many bytes, of how many of one file, have come.
        """
        self._coming = coming
        self._ledger = ledger
        self._folder = folder
        self._common = common
        self._wall_ms = wall_ms
        self._in_step: dict[str, _AtRest] = {}
        """Banks in step."""
        self._out_of_step: dict[str, tuple[_AtRest, int, str]] = {}
        """Banks with a problem, the wall time from which each is tried again, and what is wrong."""
        self._banks: dict[str, GateBank] = {}
        self._tidied_ms = 0
        self._taken = self._told = 0

    def round(self) -> Round:
        """Brings every bank in step. Raises LedgerUnavailable, and BankError for an unreadable folder."""
        self._taken = self._told = 0
        heads = self._ledger.bank_heads()
        here = {path.name.removesuffix(SUFFIX): path for path in bank_files(self._folder)}
        known = {path.name.removesuffix(SUFFIX) for path in bank_files(self._common)}
        stamps = {stamp[0].removesuffix(SUFFIX): stamp for stamp in stamp_of(self._folder)}
        problems, changed, now = [], False, self._wall_ms()
        for name in sorted(
            here.keys() | known | heads.keys(), key=lambda name: (name != INCIDENT_BANK, name)
        ):
            seen = _AtRest(stamps.get(name), heads.get(name, BankPosition()))
            if self._in_step.get(name) == seen:
                continue
            before, again_ms, problem = self._out_of_step.get(name, (None, 0, ""))
            if before == seen and now < again_ms:
                problems.append((name, problem))
                continue
            changed = True
            self._in_step.pop(name, None)
            try:
                self._in_step[name] = _AtRest(seen.stamp, self._bring_in_step(name))
                self._out_of_step.pop(name, None)
            except LedgerUnavailable:
                raise
            except (GateError, OSError) as error:
                self._banks.pop(name, None)
                self._out_of_step[name] = seen, now + AGAIN_MS, str(error)
                problems.append((name, str(error)))
        if changed and not problems:
            tidy(self._common)
        self._drop_files()
        unknown = self._ledger.unknown_rows.counts().get(bank_changes.name, 0)
        return Round(self._taken, self._told, tuple(problems), unknown)

    def _bring_in_step(self, name: str) -> BankPosition:
        if bank_path(self._folder / name).name != f"{name}{SUFFIX}":
            raise InvalidInput("bank", f"{name[:80]!r} cannot be the name of a bank")
        self._common.mkdir(mode=0o700, parents=True, exist_ok=True)
        bank = self._banks.setdefault(name, GateBank(name, self._folder, self._common))
        for _ in range(_TRIES):
            bank.look()
            if bank.lost:
                log.error("a bank has lost entries; they are taken from the fleet again", bank=name)
                bank.forget()
            self._catch_up(bank)
            try:
                return self._tell(bank)
            except StaleVersion:
                continue
        raise BankError(f"bank {name}: other gates change it without a pause")

    def _catch_up(self, bank: GateBank) -> None:
        """Takes in all changes after the bank's place. Raises BankError for one that cannot be used."""
        ledger, name = self._ledger, bank.name
        while True:
            position = bank.position
            head = ledger.bank_heads().get(name, BankPosition())
            rows = ledger.bank_changes(name, first=max(position.number, 1), limit=BANK_PAGE)
            mine = rows[0] if rows and rows[0].number == position.number else None
            if head.number < position.number or (mine is not None and mine.position != position):
                log.error("the ledger has lost bank changes; all are taken in again", bank=name)
                bank.forget()
                continue
            if head.number == position.number:
                return
            try:
                for row in rows if mine is None else rows[1:]:
                    self._take(bank, row)
                    self._taken += 1
            except BankError:
                sealed = ledger.bank_sealed(name)
                if sealed is None or sealed.number <= bank.position.number:
                    raise
                take_sealed(ledger, bank, sealed, self._common, partial(self._coming, name))
                self._taken += 1

    def _take(self, bank: GateBank, row: BankChangeRow) -> None:
        if row.number != bank.position.number + 1:
            raise BankError(f"bank {bank.name}: change {bank.position.number + 1} is not in the log")
        change = read_change(row)
        if change is None:
            self._pass_over(bank, row, f"kind {row.kind[:32]!r} is not known here")
            return
        try:
            self._apply(bank, change, row.position)
        except InvalidInput as error:
            self._pass_over(bank, row, str(error))

    def _pass_over(self, bank: GateBank, row: BankChangeRow, problem: str) -> None:
        self._ledger.unknown_rows.note(bank_changes.name, str(row.sequence), f"{problem}; it is skipped")
        bank.pass_over(row.position)

    def _apply(self, bank: GateBank, change: BankChange, position: BankPosition) -> None:
        match change:
            case SettingsChanged():
                bank.take_settings(change.settings, change.note, position)
            case FeedsRead():
                bank.take_checkpoints(change.checkpoints, position)
            case EntriesAdded():
                scratch = self._common / f".{bank.name}.come.part"
                coming = partial(self._coming, bank.name)
                with stored_segment(self._ledger, change.segment, change.bytes, scratch, coming) as segment:
                    bank.take_segment(segment, change.segment, position)
            case EntriesWithdrawn():
                bank.take_withdrawn(change.ids, position)
            case EntriesMarked():
                marks = [MarkChange(mark.entry, mark.mark, mark.on) for mark in change.marks]
                bank.take_marks(marks, {mark.entry: mark.note for mark in change.marks}, position)
            case BankDeleted():
                bank.take_deletion(position)
            case _:
                bank.pass_over(position)

    def _tell(self, bank: GateBank) -> BankPosition:
        """Tells what the folder has besides. Raises StaleVersion where others have told something."""
        ledger, now = self._ledger, self._wall_ms()
        bank.look()
        position = bank.position
        if bank.deleted_here:
            change = new_change(BankDeleted(), "unknown")
            position = told(ledger, bank.name, position, [change], now)
            bank.note_deletion(position)
            return position
        difference = bank.difference()
        if difference is None:
            return position
        assert bank.here is not None
        scratch = self._common / f".{bank.name}.told.part"
        changes = changes_of(bank.here, difference, ledger, scratch, now)
        after = told(ledger, bank.name, position, changes, now)
        self._told += after.number - position.number
        bank.settle(after)
        if after == position and not bank.position.number:
            return after
        sealed = seal(ledger, bank, now, told=after != position)
        if sealed != after:
            bank.settle(sealed)
        return sealed

    def _drop_files(self) -> None:
        now = self._wall_ms()
        if now - self._tidied_ms >= TIDY_MS:
            self._tidied_ms = now
            self._ledger.drop_bank_files(now)
