"""Runs the fuzzing: ``python -m tests.fuzz --seconds 120``, or ``--inputs 2000000 --units 200000`` at length.

Work is cut into numbered chunks, each with its own random numbers. So the same seed gives the same inputs, in
any number of processes. A run that was interrupted goes on where ``--state`` says. It prints JSON, and ends
with 1 when it has found something. What a parser failed on is kept under ``tests/fuzz/kept``, as a test.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.fuzz.chunks import INPUTS, gate_chunk, parse_chunk
from tests.fuzz.targets import targets

_GATE_SHARE: Final = 0.4
"""Of the time of a run that is bounded by time."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, help="Stop after this.")
    parser.add_argument("--inputs", type=int, default=0, help="Inputs of parsers.")
    parser.add_argument("--units", type=int, default=0, help="Access units at a real gate.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--state", type=Path, help="File to go on from, and to write to.")
    options = parser.parse_args()
    until = time.monotonic() + (options.seconds or 1e9)
    bounded = options.seconds is not None
    inputs = options.inputs or (10**9 if bounded and not options.units else 0)
    units = options.units or (10**9 if bounded and not options.inputs else 0)
    done = _Done(options.state)
    parsers_until = until - _GATE_SHARE * options.seconds if bounded and units and inputs else until
    for result in _parsed(options.seed, inputs, options.jobs, parsers_until, done):
        done.add_chunk(result)
    for chunk in itertools.count():
        if done.total("gate") >= units or time.monotonic() > until:
            break
        if ("gate", chunk) not in done.chunks:
            done.add_chunk(gate_chunk(options.seed, chunk))
    summary = done.summary()
    print(json.dumps(summary, indent=1))
    return 1 if summary["wrong"] or summary["hangs"] else 0


def _parsed(seed: int, inputs: int, jobs: int, until: float, done: _Done) -> Iterator[dict[str, Any]]:
    """Yields the results of chunks, one of each target after the other."""
    names = [target.name for target in targets()]
    rounds = -(-inputs // (INPUTS * len(names))) if inputs else 0
    work = (
        (seed, number, chunk)
        for chunk in range(rounds)
        for number, name in enumerate(names)
        if (name, chunk) not in done.chunks and time.monotonic() < until
    )
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        batches = iter(lambda: list(itertools.islice(work, 4 * jobs)), [])
        for batch in batches:
            yield from pool.imap_unordered(parse_chunk, batch)


class _Done:
    """Results so far, in memory and in the state file."""

    def __init__(self, state: Path | None) -> None:
        self._state = state
        self._results: list[dict[str, Any]] = []
        self.chunks: set[tuple[str, int]] = set()
        self._said = time.monotonic()
        if state is not None and state.is_file():
            for line in state.read_text().splitlines():
                self._take(json.loads(line))

    def _take(self, result: dict[str, Any]) -> None:
        self._results.append(result)
        self.chunks.add((result["target"], result["chunk"]))

    def add_chunk(self, result: dict[str, Any]) -> None:
        self._take(result)
        if self._state is not None:
            with self._state.open("a") as out:
                out.write(json.dumps(result) + "\n")
        if result["wrong"] or time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            found = self.summary()
            shown = {key: found[key] for key in ("parser_inputs", "access_units", "worker_deaths", "hangs")}
            print(json.dumps({**shown, "new": result["wrong"]}), file=sys.stderr)

    def total(self, target: str) -> int:
        return sum(result["inputs"] for result in self._results if result["target"] == target)

    def summary(self) -> dict[str, Any]:
        gate = [result for result in self._results if result["target"] == "gate"]
        parsers = [result for result in self._results if result["target"] != "gate"]
        wrong: dict[str, Counter[str]] = {}
        for result in self._results:
            if result["wrong"]:
                wrong.setdefault(result["target"], Counter()).update(result["wrong"])
        return {
            "parser_inputs": sum(result["inputs"] for result in parsers),
            "parsers": len({result["target"] for result in parsers}),
            "access_units": sum(result["inputs"] for result in gate),
            "raw_calls": sum(result["raw_calls"] for result in gate),
            "worker_deaths": sum(result["worker_deaths"] for result in gate),
            "supervisor_tracebacks": sum(result["supervisor_tracebacks"] for result in gate),
            "hangs": sum(result["hangs"] for result in gate)
            + sum(result["wrong"].get("hang", 0) for result in parsers),
            "wrong": {target: dict(found) for target, found in wrong.items()},
        }


if __name__ == "__main__":
    sys.exit(main())
