"""Adds one file that a person gave to a bank that exists."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from edge.errors import AlreadyExists, BankError, GateError
from edge.match.bank.bank import Bank
from edge.match.contained_fingerprint import fingerprint_contained
from edge.match.fingerprint import content_id
from edge.printable import printable


def add_file(bank: Path, file: Path, note: str, added_ms: int) -> tuple[str, str, int]:
    """Fingerprints a file in a contained process and banks it with all its variants.

    Returns the id and the kind of the entry, and how many hashes it has. Raises AlreadyExists for a file that
    the bank has, the errors of ``fingerprint_contained``, BankError and OSError.
    """
    entry_id, opened = content_id(file), Bank.open(bank)
    if opened.has(entry_id):
        raise AlreadyExists(f"the bank has it already, as {entry_id}")
    footage = fingerprint_contained(file, entry_id=entry_id, note=note, added_ms=added_ms)
    opened.add_footage([footage])
    entry = footage.entry
    return entry.id, entry.kind.value, len(footage.hashes)


def main(argv: list[str]) -> int:
    """``python -m edge.match.bank_file BANK FILE NOTE ADDED_MS`` prints what was added as JSON.

    Returns 75 (EX_TEMPFAIL) for what may go better later, and 1 for what does not.
    """
    bank, file, note, added_ms = argv
    try:
        entry, kind, hashes = add_file(Path(bank), Path(file), note, int(added_ms))
        print(json.dumps({"entry": entry, "kind": kind, "hashes": hashes}))
    except (GateError, OSError) as error:
        print(printable(str(error).replace(f"{file}: ", "").replace(f": {file}", "")), file=sys.stderr)
        return os.EX_TEMPFAIL if isinstance(error, (BankError, OSError)) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
