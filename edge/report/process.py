"""Gathers a report in a process of its own: a year of incidents would hold up a gate that judges streams."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from edge.errors import GateError, LedgerUnavailable
from edge.ledger.snapshot import snapshot
from edge.own_process import run_module
from edge.report.gather import gather
from edge.report.report import Report

_LONGEST_S: Final = 120.0
_NICENESS: Final = 10
_ERROR_CHARS: Final = 500
_REPORT: Final = TypeAdapter(Report)


async def gathered(ledger: str | Path, since_ms: int, until_ms: int, made_ms: int) -> Report:
    """The report of a period. Raises LedgerUnavailable when it cannot be made now."""
    # The URL may hold a password, so it goes through a pipe.
    asked = json.dumps({"ledger": str(ledger), "since": since_ms, "until": until_ms, "made": made_ms})
    try:
        ended = await run_module("edge.report.process", given=asked.encode(), longest_s=_LONGEST_S)
    except TimeoutError:
        raise LedgerUnavailable(
            f"the report took over {_LONGEST_S:.0f} s: ask for a shorter period"
        ) from None
    except OSError as error:
        raise LedgerUnavailable(f"no process for the report can be started: {error}") from None
    try:
        return _REPORT.validate_json(ended.said)
    except ValidationError:
        raise LedgerUnavailable(ended.wrong.decode(errors="replace")[-_ERROR_CHARS:].strip()) from None


def main() -> None:
    os.nice(_NICENESS)
    asked = json.loads(sys.stdin.read())
    ledger = asked["ledger"]
    try:
        with snapshot(ledger if "://" in ledger else Path(ledger)) as connection:
            found = gather(connection, asked["since"], asked["until"], asked["made"])
    except GateError as error:
        sys.stderr.write(str(error))
        raise SystemExit(1) from None
    sys.stdout.write(json.dumps(dataclasses.asdict(found)))


if __name__ == "__main__":
    main()
