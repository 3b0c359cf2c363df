"""What tests of exchanges share: hashes, definitions, and what banks hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge.clock import Clock, SystemClock
from edge.exchange.definition import Definition, make_definition, write_definition
from edge.exchange.double import Told
from edge.exchange.sync import Run, run_exchange
from edge.exchange.transport import Transport
from edge.match import Bank, BankPurpose, bank_files


def digest(number: int) -> str:
    """64 hexadecimal digits, other for each number."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def told(number: int, **more: Any) -> Told:
    return Told(str(number), digest(number), **more)


def added(folder: Path, kind: str, *, name: str = "partner", **more: Any) -> Definition:
    """An exchange that was added to a folder of banks, of violating footage where nothing else is said."""
    definition = make_definition(name=name, kind=kind, **{"purpose": BankPurpose.VIOLATING, **more})
    write_definition(folder, definition)
    return definition


class ClockAt(SystemClock):
    """The wall clock stands."""

    def __init__(self, wall_s: int) -> None:
        self.wall_s = wall_s

    def wall_ms(self) -> int:
        return self.wall_s * 1000


def run(folder: Path, definition: Definition, clock: Clock | None = None, **more: Any) -> Run:
    """One run. It waits for nobody: pauses of the transport take no time."""
    transport = Transport(secret=definition.credentials is not None, sleep=lambda _: None)
    return run_exchange(folder, definition, clock or SystemClock(), transport=transport, **more)


def held(folder: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """The hashes of each entry of each bank that has any."""
    banks = (Bank.open(path) for path in bank_files(folder))
    found = {
        bank.name: {item.entry.id: tuple(run.bits.hex() for run in item.hashes) for item in bank.footage()}
        for bank in banks
    }
    return {name: entries for name, entries in found.items() if entries}


def plain(numbers: Iterable[int]) -> dict[str, tuple[str, ...]]:
    """Entries that are named by their hash alone."""
    return {digest(number): (digest(number),) for number in numbers}
