"""Reads a gate's banks for people: manifests from the banks' own files, entries from the verified copies.

A manifest is read like any small file. Segments are mapped, and whoever maps a bank's own files dies when
they shrink: so entries come from the copies, to which nobody else writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from edge.errors import BankError, GateError, InvalidInput, NotFound
from edge.match import Bank, Entry, bank_files, bank_path
from edge.match.bank.manifest import SUFFIX, BankManifest, read_manifest
from edge.match.bank.mark_notes import THE_BANK, MarkNote, read_notes

_MOST_OPEN: Final = 8
_MOST_SCANNED: Final = 20_000
"""Most removed entries that one page passes over."""


@dataclass(frozen=True)
class ServedBank:
    """A bank of this gate as its manifest says."""

    name: str
    manifest: BankManifest
    notes: Mapping[str, MarkNote]
    problem: str
    """Why its own files cannot be read. The manifest is that of the last good copy then."""

    @cached_property
    def disabled(self) -> frozenset[str]:
        return frozenset(self.manifest.disabled)

    @cached_property
    def quarantined(self) -> frozenset[str]:
        return frozenset(self.manifest.quarantined)

    @property
    def switched(self) -> MarkNote | None:
        return self.notes.get(THE_BANK)


class BankReading:
    """Blocking: call it in a thread, one call at a time."""

    def __init__(self, source: Path, copies: Path) -> None:
        self._source = source
        self._copies = copies
        self._open: dict[str, Bank] = {}

    def banks(self) -> tuple[ServedBank, ...]:
        """Every bank, sorted by name. Raises BankError when the folder cannot be read."""
        folders = self._source, self._copies
        names = {path.name.removesuffix(SUFFIX) for folder in folders for path in bank_files(folder)}
        return tuple(self._served(name) for name in sorted(names))

    def bank(self, name: str) -> ServedBank:
        """Raises NotFound, and InvalidInput for what cannot be a name."""
        if bank_path(self._source / name).name != f"{name}{SUFFIX}":
            raise InvalidInput("bank", "must be the name of a bank, without folder and ending")
        if not any((folder / f"{name}{SUFFIX}").exists() for folder in (self._source, self._copies)):
            raise NotFound("bank", name)
        return self._served(name)

    def _served(self, name: str) -> ServedBank:
        path, problem = self._source / f"{name}{SUFFIX}", ""
        try:
            manifest = read_manifest(path)[0]
        except GateError as error:
            problem = str(error)
            try:
                manifest = read_manifest(self._copies / path.name)[0]
            except GateError:
                manifest = BankManifest(name=name)
        return ServedBank(name, manifest, read_notes(path), problem)

    def entry(self, name: str, entry_id: str) -> Entry | None:
        """One entry of a bank. None: there is none in the copy. Raises BankError."""
        bank = self._opened(name)
        return None if bank is None else _find(bank, entry_id)

    def entries(self, name: str, start: int, limit: int) -> tuple[list[Entry], int | None]:
        """Entries from a place in the bank on, and where the next page begins; None: nowhere.

        Raises BankError.
        """
        bank, found = self._opened(name), list[Entry]()
        if bank is None:
            return found, None
        place = 0
        scanned = 0
        for segment, removed in zip(bank.segments, bank.removed, strict=True):
            first = max(0, start - place)
            for number in range(first, segment.entries):
                if len(found) == limit or scanned == limit + _MOST_SCANNED:
                    return found, place + number
                scanned += 1
                try:
                    entry = segment.entry(number)
                except BankError:  # it matches nothing, and `bank verify` says so
                    continue
                if entry.id not in removed:
                    found.append(entry)
            place += segment.entries
        return found, None

    def named(self, name: str, ids: tuple[str, ...]) -> Iterator[Entry]:
        """Those of the entries that the copy has. Raises BankError."""
        bank = self._opened(name)
        for entry_id in ids if bank is not None else ():
            if bank is not None and (entry := _find(bank, entry_id)) is not None:
                yield entry

    def _opened(self, name: str) -> Bank | None:
        """The copy of a bank. Its segments stay open, because checking their form reads them whole."""
        path = self._copies / f"{name}{SUFFIX}"
        before = self._open.pop(name, None)
        try:
            bank = Bank.open(path, verify=False, known=() if before is None else before.segments)
        except NotFound:
            return None
        self._open[name] = bank
        while len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return bank


def _find(bank: Bank, entry_id: str) -> Entry | None:
    for segment, removed in zip(bank.segments, bank.removed, strict=True):
        if entry_id not in removed and (entry := segment.find(entry_id)) is not None:
            return entry
    return None
