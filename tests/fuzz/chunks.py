"""One numbered chunk of the work. The same seed and number give the same inputs, in any process."""

from __future__ import annotations

import hashlib
import logging
import signal
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final

import structlog

from tests.fuzz.targets import run, targets
from tests.fuzz.watched import fuzz_gate

KEPT: Final = Path(__file__).with_name("kept")
INPUTS: Final = 1000
"""Inputs of a parser in one chunk."""
_HANG_S: Final = 5.0
"""Processor time, because the machine may be busy. The time on the clock is for what waits for ever."""
_WAITS_S: Final = 120.0
_STREAMS: Final = 100


class Hang(BaseException):
    """No ``Exception``, so that no parser catches it."""


def _hangs(number: int, frame: FrameType | None) -> None:
    raise Hang


def parse_chunk(work: tuple[int, int, int]) -> dict[str, Any]:
    """Runs one chunk of inputs of one target: seed, number of the target, number of the chunk."""
    seed, target_number, chunk = work
    logging.disable(logging.CRITICAL)  # parsers report what they leave out
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGALRM, _hangs)
    signal.signal(signal.SIGPROF, _hangs)
    target = targets()[target_number]
    random = Random(f"{seed} {target.name} {chunk}")
    wrong: Counter[str] = Counter()
    for _ in range(INPUTS):
        data = target.input(random)
        signal.setitimer(signal.ITIMER_PROF, _HANG_S)
        signal.setitimer(signal.ITIMER_REAL, _WAITS_S)
        try:
            problem = run(target, data)
        except Hang:
            problem = "hang"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        if problem:
            wrong[problem] += 1
            if wrong[problem] == 1:
                _keep(target.name, data)
    return {"target": target.name, "chunk": chunk, "inputs": INPUTS, "wrong": dict(wrong)}


def _keep(name: str, data: bytes) -> None:
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def gate_chunk(seed: int, chunk: int) -> dict[str, Any]:
    with TemporaryDirectory(prefix="edge-fuzz-") as directory:
        found = fuzz_gate(Path(directory) / "gate", 1000 * seed + chunk, _STREAMS, _STREAMS)
    return {
        "target": "gate",
        "chunk": chunk,
        "inputs": found.units,
        "raw_calls": found.raw_calls,
        "worker_deaths": found.worker_deaths,
        "hangs": found.hangs,
        "wrong": dict(Counter((*found.supervisor_tracebacks, *found.worker_tracebacks))),
        "supervisor_tracebacks": len(found.supervisor_tracebacks),
    }
