"""One run of an exchange in a process of its own, for the gate. It is interrupted without harm."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from edge.clock import SystemClock
from edge.errors import GateError
from edge.exchange.definition import read_definition
from edge.exchange.sync import run_exchange
from edge.policy import ExchangeRule
from edge.printable import printable

_NICENESS: Final = 10


def main(argv: list[str]) -> int:
    """``python -m edge.exchange.process DIR/NAME LONGEST_MS``: reads the policy's table from stdin as JSON.

    Prints what it did as JSON, or what went wrong to stderr.
    """
    os.nice(_NICENESS)
    path, longest_ms = Path(argv[0]), float(argv[1])
    try:
        table = TypeAdapter(tuple[ExchangeRule, ...]).validate_json(sys.stdin.read())
        done = run_exchange(
            path.parent, read_definition(path), SystemClock(), table=table, longest_ms=longest_ms
        )
    except (GateError, OSError) as error:
        print(printable(error), file=sys.stderr)
        return 1
    print(json.dumps(done.as_dict()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
