"""Every kept input, and a few new ones of every parser and at a real gate."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.targets import run, targets
from tests.fuzz.watched import fuzz_gate

KEPT = Path(__file__).with_name("kept")
NAMES = [target.name for target in targets()]
INPUTS = 100


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="edge.match")


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_no_input_does_more_than_be_refused(number: int) -> None:
    target = targets()[number]
    kept = [path.read_bytes() for path in sorted((KEPT / target.name).glob("*"))]
    random = Random(7)
    for data in (*target.seeds, *kept, *(target.input(random) for _ in range(INPUTS))):
        assert run(target, data) == "", data


def test_every_kept_input_has_its_parser() -> None:
    assert {path.name for path in KEPT.iterdir() if path.is_dir()} <= set(NAMES)


def test_the_same_seed_makes_the_same_inputs() -> None:
    for target in targets():
        assert [target.input(Random(3)) for _ in range(3)] == [target.input(Random(3)) for _ in range(3)]


def test_mutated_streams_cost_no_more_than_workers(tmp_path: Path) -> None:
    found = fuzz_gate(tmp_path / "gate", seed=5, streams=12, raw_calls=40)
    assert found.units > 0
    assert found.hangs == 0
    assert found.supervisor_tracebacks == []
    assert found.worker_tracebacks == []
