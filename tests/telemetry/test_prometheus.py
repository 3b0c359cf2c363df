"""Names, labels, types, help texts, buckets and values that dashboards and alarms depend on."""

from __future__ import annotations

import re
from pathlib import Path

from edge.telemetry.prometheus import PrometheusBackend
from edge.telemetry.records import CutProven, Record, WorkerMeasured
from tests.telemetry.reports import ONE_OF_EACH, PUBLISH

EXPOSITION = Path(__file__).with_name("exposition.txt")
"""The exposition, sorted and without creation times. It is an interface."""


def exposed(*records: Record) -> list[str]:
    backend = PrometheusBackend()
    for record in records:
        backend.take(record)
    lines = sorted(backend.exposition().decode().splitlines())
    return [re.sub(r" \S+$", "", line) if re.match(r"\w+_created\b", line) else line for line in lines]


def test_what_is_scraped_after_one_record_of_each_kind() -> None:
    assert exposed(*ONE_OF_EACH) == EXPOSITION.read_text().splitlines()


def test_a_series_appears_with_the_first_record_of_it() -> None:
    assert not [line for line in exposed() if re.match(r"edge_(admissions|cuts|violations)_total\{", line)]
    assert 'edge_cuts_total{confirmed_by="hook"} 1.0' in exposed(CutProven("st_1", PUBLISH, "hook"))


def test_every_record_of_many_is_counted() -> None:
    measured = WorkerMeasured("decode", (1, *11 * (0,)), 0.05)
    cut = CutProven("st_1", PUBLISH, "hook", time_to_cut_ms=42.0)
    found = exposed(*3 * [measured, cut])
    assert 'edge_stage_ms_count{stage="decode"} 3.0' in found
    assert "edge_time_to_cut_ms_sum 126.0" in found
