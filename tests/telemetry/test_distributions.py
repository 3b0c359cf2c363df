"""Counts add up, for all values and any interleaving of workers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edge.telemetry.distributions import BOUNDS_MS, Distributions
from edge.telemetry.worker_histograms import WorkerHistograms

values = st.lists(st.tuples(st.sampled_from([*BOUNDS_MS]), st.floats(0, 1e6), st.booleans()), max_size=60)


@given(values)
def test_what_is_scraped_is_what_was_measured(values: list[tuple[str, float, bool]]) -> None:
    """``take`` may come at any time in between."""
    worker, gate = Distributions(), WorkerHistograms()
    for name, ms, take in values:
        getattr(worker, name).observe(ms)
        if take:
            for taken in worker.take():
                gate.add_counts(*taken)
    for taken in worker.take():
        gate.add_counts(*taken)
    assert worker.take() == []
    found = scraped(gate)
    for name, bounds in BOUNDS_MS.items():
        measured = [ms for each, ms, _ in values if each == name]
        family, stage = (f"edge_{name}_age_ms", "") if name == "queue" else (f"edge_{name}_ms", "")
        if name not in ("queue", "blind"):
            family, stage = "edge_stage_ms", name
        assert found[(f"{family}_count", stage, "")] == len(measured)
        for bound in bounds:
            at_most = sum(ms <= bound for ms in measured)
            assert found[(f"{family}_bucket", stage, str(bound))] == at_most


def test_what_no_worker_of_this_version_says_is_left_out() -> None:
    gate = WorkerHistograms()
    for name, counts in (("nothing", [1]), ("decode", [1]), ("decode", [-1] * 12), ("decode", [])):
        gate.add_counts(name, counts, 1.0)
    assert not any(value for value in scraped(gate).values())


def scraped(gate: WorkerHistograms) -> dict[tuple[str, str, str], float]:
    registry = CollectorRegistry()
    registry.register(gate)
    return {
        (sample.name, sample.labels.get("stage", ""), sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
