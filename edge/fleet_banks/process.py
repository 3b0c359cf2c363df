"""The process that keeps a gate's banks in step with the fleet's. It maps bank files, as no gate does.

``python -m edge.fleet_banks.process`` reads one line of JSON with its settings from standard input. Each
further line asks for a round at once. It ends with the input. It prints a line of JSON after each round that
did something, or had another problem than the one before, and some while a large file comes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge.errors import GateError, LedgerUnavailable
from edge.fleet_banks.bank_sync import BankSync, Round
from edge.ledger import Ledger
from edge.ledger.change_listener import ChangeListener
from edge.telemetry.logs import configure_logging

LOOK_S: Final = 0.5
"""Interval between two looks at the folder, and at the ledger where it cannot notify."""
AWAY_S: Final = 1.0
NICENESS: Final = 5
"""Niceness of the process. Judging live streams has priority."""
_LOCK_MS: Final = 5_000
"""How long telling waits for another writer of the ledger."""


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What the gate tells the process at its start. Not by arguments: the URL has a password."""

    ledger: str
    gate: str
    folder: str
    common: str
    log_level: str


class _Asked:
    """What comes by standard input."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.over = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for _ in sys.stdin:
            self.wake.set()
        self.over = True
        self.wake.set()


def main() -> int:
    os.nice(NICENESS)
    settings = ProcessSettings(**json.loads(sys.stdin.readline()))
    configure_logging(settings.log_level)
    asked, said = _Asked(), Round()
    while not asked.over:
        try:
            ledger = Ledger.open(_url(settings.ledger), gate=settings.gate).patient(_LOCK_MS)
            break
        except LedgerUnavailable:
            asked.wake.wait(AWAY_S)
    else:
        return 0
    sync = BankSync(ledger, Path(settings.folder), Path(settings.common), coming=_say_coming)
    with ledger.bank_listener() as changes:
        while not asked.over:
            said = _round(sync, changes, said, asked)
    return 0


def _round(sync: BankSync, changes: ChangeListener, said: Round, asked: _Asked) -> Round:
    asked.wake.clear()
    try:
        # Listen first: then a change after the round ends the wait.
        changes.listen()
        done = sync.round()
    except LedgerUnavailable:
        asked.wake.wait(AWAY_S)
        return said
    except (GateError, OSError) as error:
        done = Round(problems=(("", str(error)),))
    if done.taken or done.told or (done.problems, done.unknown) != (said.problems, said.unknown):
        print(json.dumps(asdict(done)), flush=True)
    try:
        changes.wait(LOOK_S, asked.wake)
    except LedgerUnavailable:
        asked.wake.wait(AWAY_S)
    return done


def _say_coming(bank: str, done: int, of: int) -> None:
    print(json.dumps({"bank": bank, "bytes": done, "of_bytes": of}), flush=True)


def _url(ledger: str) -> str | Path:
    return ledger if "://" in ledger else Path(ledger)


if __name__ == "__main__":
    raise SystemExit(main())
