"""The cost limit of a model that replaces another, and a model whose files are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.supervise.model_swap import model_store, over_budget
from edge.telemetry.records import AlarmRaised
from tests.shipped_pack import copy_pack
from tests.supervise.gate_without_workers import gate_without_workers


@pytest.mark.parametrize(
    ("cost", "budget", "in_force", "refused"),
    [
        (5.9, 0.0, 0.0, False),
        (9.0, 0.0, 8.9, False),  # As slow as the model that it replaces, on a slow machine.
        (9.0, 0.0, 6.5, True),
        (9.0, 10.0, 0.0, False),
        (9.0, 8.0, 20.0, True),  # An explicit budget counts, whatever is in force.
    ],
)
def test_budget_of_a_swap(cost: float, budget: float, in_force: float, refused: bool) -> None:
    assert bool(over_budget(cost, budget, in_force)) == refused


def test_a_refusal_names_what_it_was_measured_against() -> None:
    assert over_budget(9.0, 0.0, 6.5) == (
        "9 ms a sample is over the budget of 6 ms; the one in force costs 6.5 here"
    )


def onnx_of(folder: Path) -> Path:
    return next(folder.glob("*.onnx"))


async def test_a_damaged_model_is_an_alarm_and_its_copy_judges_and_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copy_pack(tmp_path / "model")
    monkeypatch.setenv("EDGE_MODEL_DIR", str(model))
    async with gate_without_workers(tmp_path / "data") as bench:
        gate = bench.gate
        copy, problem = model_store(gate.settings).verified_copy()
        assert (copy.parent, problem) == (tmp_path / "data" / "models", "")
        digest = (await gate.model_swap.current()).pack.digest
        file = onnx_of(model)
        whole = file.read_bytes()
        os.truncate(file, 1000)
        await gate.model_swap.look_after()
        assert gate.alarms.lines() == ["model unreadable"]
        assert [raised.part for raised in bench.recorded.of(AlarmRaised)] == ["model"]
        current = (await gate.model_swap.current()).pack
        assert (current.digest, current.directory) == (digest, copy)

        file.write_bytes(whole)
        os.truncate(onnx_of(copy), 1000)
        gate._worker_events.on_not_restarted()
        await bench.until(lambda: not gate.alarms.lines())
        assert onnx_of(copy).read_bytes() == whole
