"""Gates on one ledger, each with its folder of banks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.fleet_banks.bank_sync import BankSync, Round
from edge.ledger import Ledger
from edge.match import Bank, Entry, EntryKind, Footage, HashRun


def bits(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


def video(name: str, *seeds: int) -> Footage:
    entry = Entry(name, EntryKind.VIDEO, label="fight", source="police", duration_ms=1000)
    return Footage(entry, tuple(HashRun(bits(seed), start_ms=40 * at) for at, seed in enumerate(seeds)))


def image(seed: int) -> Footage:
    return Footage(Entry(bits(seed).hex(), EntryKind.IMAGE), (HashRun(bits(seed)),))


class Gate:
    """One gate of a fleet: the part of it that keeps banks in step."""

    def __init__(self, url: str, folder: Path, name: str) -> None:
        self.name = name
        self.ledger = Ledger.open(url, gate=name, busy_timeout_ms=1500)
        self.banks = folder / name / "banks"
        self.common = folder / name / "common"
        self.wall_ms = 1_700_000_000_000
        self.begin()

    def begin(self) -> None:
        """Begins as after a restart."""
        self.sync = BankSync(self.ledger, self.banks, self.common, lambda: self.wall_ms)

    def round(self) -> Round:
        done = self.sync.round()
        assert done.problems == ()
        return done

    def bank(self, name: str = "films") -> Bank:
        return Bank.open(self.banks / name)

    def content(self, name: str = "films") -> set[Footage]:
        bank = self.bank(name)
        found = list(bank.footage())
        assert len(found) == len({item.entry.id for item in found}) == bank.manifest.entries
        return set(found)
