"""What gates and their ledger must come to, in plain dictionaries: the same decisions, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge.fleet_banks.merging import UNKNOWN, Addition, addition, value_after

Change = Callable[["ModelBank"], None]
"""What a change of the log does to the state that all have in common."""


@dataclass
class ModelBank:
    entries: dict[str, int] = field(default_factory=dict)
    """Content by id."""
    disabled: set[str] = field(default_factory=set)
    label: str = "0"

    def add(self, entry: str, content: int) -> None:
        self.entries[entry] = content

    def withdraw(self, entry: str) -> None:
        self.entries.pop(entry, None)
        self.disabled.discard(entry)

    def mark(self, entry: str, on: bool) -> None:
        if entry in self.entries:
            (self.disabled.add if on else self.disabled.discard)(entry)


@dataclass
class ModelGate:
    here: ModelBank = field(default_factory=ModelBank)
    common: ModelBank = field(default_factory=ModelBank)
    joined: bool = False
    position: int = 0

    def round(self, log: list[tuple[str, str, int]]) -> None:
        for change in log[self.position :]:
            self._take(*change)
        told = self._difference()
        log += told
        for change in told:
            apply(self.common, *change)
            self.joined = True
        self.position = len(log)

    def _take(self, kind: str, entry: str, value: int) -> None:
        here, common = self.here, self.common
        if kind == "add":
            does = addition(common=entry in common.entries, here=entry in here.entries)
            if does is not Addition.NOTHING:
                here.add(entry, value)
        elif kind == "withdraw":
            here.withdraw(entry)
        elif kind == "mark":
            if entry in here.entries:
                here.mark(entry, value_after(entry in here.disabled, entry in common.disabled, bool(value)))
        else:
            here.label = value_after(here.label, common.label if self.joined else UNKNOWN, str(value))
        apply(common, kind, entry, value)
        self.joined = True

    def _difference(self) -> list[tuple[str, str, int]]:
        here, common = self.here, self.common
        told: list[tuple[str, str, int]] = []
        if here.label != common.label or not self.joined:
            told.append(("label", "", int(here.label)))
        told += [("withdraw", entry, 0) for entry in sorted(common.entries.keys() - here.entries.keys())]
        told += [
            ("add", entry, content)
            for entry, content in sorted(here.entries.items())
            if common.entries.get(entry) != content
        ]
        told += [("mark", entry, 1) for entry in sorted(here.disabled - common.disabled)]
        told += [
            ("mark", entry, 0) for entry in sorted(common.disabled - here.disabled) if entry in here.entries
        ]
        return told


def apply(bank: ModelBank, kind: str, entry: str, value: int) -> None:
    if kind == "add":
        bank.add(entry, value)
    elif kind == "withdraw":
        bank.withdraw(entry)
    elif kind == "mark":
        bank.mark(entry, bool(value))
    else:
        bank.label = str(value)
