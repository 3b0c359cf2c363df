"""The edge's own bank: what a reviewer confirmed is known footage from then on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge.domain import BankSeverity
from edge.errors import AlreadyExists, GateError, NotFound
from edge.match.bank.bank import Bank
from edge.match.bank.bank_update import Withdrawal
from edge.match.bank.manifest import BankInfo
from edge.match.fingerprint import fingerprint

INCIDENT_BANK = "incidents"
NICENESS = 10
"""Of the process that banks an incident: streams that are being judged come first."""


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
    """Add a confirmed incident's evidence clip to the bank ``incidents`` of a directory of banks.

    ``last_ms``: only so much of the clip's end. What came before a violation is not known footage: banked,
    it would cut whoever shows the same calm scene again. The picture is banked as it is coded: a stream that
    asks to be shown on its side is looked up as it is coded, too.
    Returns the number of hashes; 0 when the incident is there already. The entry has the incident's id.
    Raises BrokenMedia or InvalidInput when the clip has nothing that can be hashed. Decodes the whole
    clip and hashes its end: not for the thread that serves streams.
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
    footage = fingerprint(
        clip,
        entry_id=incident_id,
        label=category,
        note=note,
        added_ms=added_ms,
        last_ms=last_ms,
        as_coded=True,
    )
    try:
        bank.add([footage])
    except AlreadyExists:
        return 0
    return len(footage.hashes)


def withdraw_incident(directory: Path, incident_id: str) -> bool:
    """Take an incident that was overturned out again; whether it was there."""
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
    """Bank one incident, at a lower priority than the process that started this one.

    ``python -m edge.match.incident_bank BANKS INCIDENT CLIP CATEGORY LAST_MS ADDED_MS``
    """
    os.nice(NICENESS)
    directory, incident_id, clip, category, last_ms, added_ms = argv
    try:
        bank_incident(
            Path(directory),
            incident_id,
            Path(clip),
            category,
            added_ms=int(added_ms),
            last_ms=int(last_ms),
        )
    except (GateError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
