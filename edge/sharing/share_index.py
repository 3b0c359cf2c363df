"""Brings the logs of shared banks up to date, in a process of its own: whoever maps a bank's own files dies
when somebody shortens them, and the gate must not.

``python -m edge.sharing.share_index BANKS LOGS``, with what to share on stdin as JSON: for each bank the
entries that are held back. Prints for each bank what is shared of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from edge.errors import GateError, NotFound
from edge.match import Bank
from edge.printable import printable
from edge.sharing.share_log import ShareLog, log_path

NICENESS = 10
"""Niceness of the process. Judging live streams has priority."""


def follow_banks(banks: Path, logs: Path, held_back: dict[str, list[str]]) -> dict[str, dict[str, object]]:
    """Returns for each bank: entries that are shared, entries that are too large, and what went wrong."""
    found: dict[str, dict[str, object]] = {}
    for name, ids in held_back.items():
        problem, missing, entries, left_out = "", False, 0, 0
        try:
            with ShareLog.open(log_path(logs, name), write=True) as log:
                try:
                    log.follow_bank(Bank.open(banks / name), ids)
                finally:
                    entries, left_out = log.entries, log.left_out
        except (GateError, OSError) as error:
            problem, missing = printable(error), isinstance(error, NotFound)
        found[name] = {
            "entries": entries,
            "left_out": left_out,
            "problem": problem,
            "missing": missing,
        }
    return found


def main(argv: list[str]) -> int:
    os.nice(NICENESS)
    banks, logs = map(Path, argv)
    print(json.dumps(follow_banks(banks, logs, json.load(sys.stdin))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
