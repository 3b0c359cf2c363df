"""Brings a mirror into banks. The policy's table decides which takes a record, within the exchange's purpose.

The bank NAME takes what has the purpose and the severity of the exchange. What the table gives another goes
to ``NAME.PURPOSE-SEVERITY``. Each bank keeps the number of the last change that it has, together with its
entries. So filling goes on where it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.domain import Action, BankSeverity
from edge.errors import BankError
from edge.exchange.definition import Definition
from edge.exchange.mirror import Mirror, Mirrored
from edge.match import (
    Bank,
    BankInfo,
    BankPurpose,
    Existing,
    Footage,
    Updated,
    Withdrawal,
    bank_files,
    bank_path,
)
from edge.match.bank.bank_update import Staged
from edge.match.bank.manifest import BankManifest, read_manifest
from edge.match.formats.import_checkpoint import remove_strays
from edge.policy import ExchangeOpinion, ExchangeRule, rule_for

CHANGES_AT_ONCE: Final = 100_000
"""Changes of one update of a bank. They are in memory."""
_KEY: Final = "exchange"
_FALLING: Final = (BankPurpose.VIOLATING, BankPurpose.INVESTIGATE, BankPurpose.COUNT)
_WITH_ACTION: Final = dict(zip((Action.CUT, Action.FLAG, Action.PASS), _FALLING, strict=True))


@dataclass(frozen=True, slots=True)
class Place:
    """What a match with a record means here."""

    purpose: BankPurpose
    severity: BankSeverity


@dataclass(frozen=True, slots=True)
class _Filled:
    """How far a bank is filled."""

    mirror: str
    table: str
    seq: int


def place_of(
    definition: Definition, table: Sequence[ExchangeRule], opinion: ExchangeOpinion, tags: tuple[str, ...]
) -> Place | None:
    """Where a record with this opinion and these tags belongs. None: it is not banked. Pure.

    Nothing is stronger than the purpose of the exchange. A benign exchange has benign footage only.
    """
    rule = rule_for(table, definition.name, opinion, tags)
    if rule.purpose == "none":
        return None
    severity = rule.severity or definition.severity
    if definition.purpose is BankPurpose.BENIGN or rule.purpose == "benign":
        return Place(BankPurpose.BENIGN, severity)
    allowed = (definition.purpose, BankPurpose(rule.purpose), _WITH_ACTION[rule.action])
    return Place(max(allowed, key=_FALLING.index), severity)


def bank_name(definition: Definition, place: Place) -> str:
    if place == Place(definition.purpose, definition.severity):
        return definition.name
    return f"{definition.name}.{place.purpose.value}-{place.severity.value}"


class Filler:
    """Fills the banks of one exchange in a folder."""

    def __init__(
        self, folder: Path, definition: Definition, table: Sequence[ExchangeRule], mirror: Mirror
    ) -> None:
        self._folder = folder
        self._definition = definition
        self._table = tuple(table)
        self._mirror = mirror
        self._places: dict[tuple[ExchangeOpinion, tuple[str, ...]], str | None] = {}
        self._digest = digest_of(definition, table)
        self.updated = Updated()
        """What has changed in all banks so far."""

    def fill(self) -> None:
        """Brings all banks of the exchange up to date. Raises BankError and OSError.

        Also a bank that the table names no more is emptied. Others than this exchange's are left alone.
        """
        banks = {**self._own_banks(), **self._wanted_banks()}
        for path in banks.values():
            self._fill(path)
        self._mirror.forget_gone(self._mirror.newest)

    def _own_banks(self) -> dict[str, Path]:
        return {path.name: path for path in banks_of(self._folder, self._definition.name)}

    def _wanted_banks(self) -> dict[str, Path]:
        """The banks that the records want. Makes those that are not there."""
        found = {}
        for opinion, tags in self._mirror.spoken():
            name = self._bank_of(opinion, tags)
            if name is not None and (path := bank_path(self._folder / name)).name not in found:
                if not path.exists():
                    Bank.create(path, self._info(opinion, tags))
                elif (kept := read_manifest(path)[0]).entries and not _is_of(kept, self._definition.name):
                    raise BankError(
                        f"{path}: is no bank of exchange {self._definition.name}; rename one of them"
                    )
                found[path.name] = path
        return found

    def _info(self, opinion: ExchangeOpinion, tags: tuple[str, ...]) -> BankInfo:
        place = place_of(self._definition, self._table, opinion, tags)
        assert place is not None
        return BankInfo(
            opinion=place.purpose,
            severity=place.severity,
            label=self._definition.label,
            source=_source(self._definition.name),
        )

    def _bank_of(self, opinion: ExchangeOpinion, tags: tuple[str, ...]) -> str | None:
        key = (opinion, tags)
        if key not in self._places:
            if len(self._places) >= 10_000:
                self._places.clear()
            place = place_of(self._definition, self._table, opinion, tags)
            self._places[key] = None if place is None else bank_name(self._definition, place)
        return self._places[key]

    def _fill(self, path: Path) -> None:
        bank = Bank.open(path, verify=False)
        filled = _read(bank.manifest.checkpoints.get(self._key))
        current = (self._mirror.identity, self._digest)
        if filled is None or (filled.mirror, filled.table) != current:
            # Others put these entries in, or by another table: first whatever does not belong leaves.
            self._update(bank, self._not_wanted(Bank.open(path, verify=False)), 0)
            filled = _Filled(*current, 0)
        at = filled.seq
        while rows := self._mirror.changed(at, CHANGES_AT_ONCE):
            at = rows[-1].seq
            self._update(bank, self._changes(bank, rows), at)

    def _changes(self, bank: Bank, rows: Sequence[Mirrored]) -> Iterator[Footage | Withdrawal]:
        empty = not bank.manifest.entries
        for row in rows:
            footage = row.footage
            if footage is not None and self._bank_of(row.opinion, row.tags) == bank.name:
                yield footage
            elif not empty:
                yield Withdrawal(row.id)

    def _not_wanted(self, bank: Bank) -> Iterator[Withdrawal]:
        for entry, _ in bank.entries():
            row = self._mirror.find(entry.id)
            if row is None or self._bank_of(row.opinion, row.tags) != bank.name:
                yield Withdrawal(entry.id)

    def _update(self, bank: Bank, changes: Iterator[Footage | Withdrawal], seq: int) -> None:
        checkpoint = json.dumps([self._mirror.identity, self._digest, seq])
        done = bank.update(
            changes,
            existing=Existing.REPLACE,
            checkpoints=lambda: {self._key: checkpoint},
            stage=_Sweep(bank.path),
            by=_source(self._definition.name),
        )
        so_far = self.updated
        self.updated = Updated(
            so_far.added + done.added,
            so_far.replaced + done.replaced,
            so_far.skipped + done.skipped,
            so_far.removed + done.removed,
        )

    @property
    def _key(self) -> str:
        return f"{_KEY} {self._definition.name}"


def digest_of(definition: Definition, table: Sequence[ExchangeRule]) -> str:
    """Digest of all that decides which bank takes a record."""
    rules = [rule.model_dump(mode="json") for rule in table]
    chosen = [definition.purpose.value, definition.severity.value, rules]
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:32]


def banks_of(folder: Path, exchange: str) -> list[Path]:
    """The banks that an exchange fills: those that say so themselves. Raises BankError."""
    return [
        path
        for path in bank_files(folder)
        if (path.stem == exchange or path.name.startswith(f"{exchange}."))
        and _is_of(read_manifest(path)[0], exchange)
    ]


def _is_of(bank: BankManifest, exchange: str) -> bool:
    return bank.info.source == _source(exchange) or f"{_KEY} {exchange}" in bank.checkpoints


def _source(exchange: str) -> str:
    return f"{_KEY} {exchange}"


def _read(text: str | None) -> _Filled | None:
    try:
        mirror, table, seq = json.loads(text or "")
        return _Filled(str(mirror), str(table), int(seq))
    except (ValueError, TypeError):
        return None


class _Sweep:
    """Keeps nothing of an update. It removes what an earlier process left when it was killed."""

    def __init__(self, bank: Path) -> None:
        self._bank = bank

    def restore(self, base: str) -> None:
        remove_strays(self._bank)

    def save(self, base: str, staged: Staged) -> None:
        pass

    def clear(self) -> None:
        pass
