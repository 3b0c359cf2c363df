"""The edge's own bank. An incident that a reviewer confirmed becomes known footage."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge.domain import INCIDENT_BANK, BankSeverity
from edge.errors import AlreadyExists, GateError, NotFound
from edge.match.bank.bank import Bank
from edge.match.bank.bank_update import Withdrawal
from edge.match.bank.manifest import BankInfo
from edge.match.contained_fingerprint import fingerprint_contained
from edge.printable import printable

NICENESS = 10
"""Niceness of the process that banks an incident. Judging live streams has priority."""


def bank_incident(
    directory: Path,
    incident_id: str,
    clip: Path,
    category: str,
    *,
    added_ms: int,
    note: str = "",
    last_ms: int | None = None,
) -> int:
    """Adds a confirmed incident's evidence clip to the bank ``incidents`` of a directory of banks.

    ``last_ms`` limits the entry to that much of the clip's end. The time before a violation is not known
    footage. If it were banked, it would cut whoever shows the same calm scene again. The picture is banked
    as it is coded, because live streams are looked up as they are coded, without rotation.

    The entry has the incident's id. Returns the number of hashes, 0 when the incident is already banked.
    Raises BrokenMedia or InvalidInput when nothing of the clip can be hashed. It decodes the whole clip and
    hashes its end. So do not call it in the thread that serves streams.
    """
    path = directory / INCIDENT_BANK
    try:
        bank = Bank.open(path)
    except NotFound:
        info = BankInfo(
            label=category or "known_footage",
            severity=BankSeverity.HIGH,
            source="confirmed incidents of this edge",
        )
        bank = _create(path, info)
    if bank.has(incident_id):
        return 0
    footage = fingerprint_contained(
        clip,
        entry_id=incident_id,
        label=category,
        note=note,
        added_ms=added_ms,
        last_ms=last_ms,
        as_coded=True,
    )
    try:
        bank.add_footage([footage])
    except AlreadyExists:
        return 0
    return len(footage.hashes)


def withdraw_incident(directory: Path, incident_id: str) -> bool:
    """Removes an incident that was overturned. Returns whether it was banked."""
    try:
        bank = Bank.open(directory / INCIDENT_BANK)
    except NotFound:
        return False
    return bank.update([Withdrawal(incident_id)]).removed == 1


def _create(path: Path, info: BankInfo) -> Bank:
    try:
        return Bank.create(path, info)
    except AlreadyExists:
        return Bank.open(path)


def main(argv: list[str]) -> int:
    """Banks or withdraws one incident at a lower priority than the parent process.

    ``python -m edge.match.incident_bank add BANKS INCIDENT CLIP CATEGORY LAST_MS ADDED_MS``
    ``python -m edge.match.incident_bank withdraw BANKS INCIDENT``: prints a line where it was banked
    """
    os.nice(NICENESS)
    command, directory, incident_id, *rest = argv
    try:
        if command == "withdraw":
            if withdraw_incident(Path(directory), incident_id):
                print("withdrawn")
            return 0
        clip, category, last_ms, added_ms = rest
        bank_incident(
            Path(directory),
            incident_id,
            Path(clip),
            category,
            added_ms=int(added_ms),
            last_ms=int(last_ms),
        )
    except (GateError, OSError) as error:
        print(printable(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
