"""How the load benchmark computes its limit and compares it."""

from __future__ import annotations

import random
from itertools import islice, pairwise
from typing import Any

import pytest

from benchmarks._load_cost import GOP_S, BareCost, _arrivals
from benchmarks._load_report import compared
from edge.domain import AccessUnit

PACED = BareCost(keyframe_s=0.010, frame_s=0.002, plane_s=0.0005, judge_s=0.007)
HOT = BareCost(keyframe_s=0.009, frame_s=0.0015, plane_s=0.0004, judge_s=0.006)


def result(**changed: Any) -> dict[str, Any]:
    """Ten streams for ten seconds: fifty calm samples of seven frames."""
    return {
        "streams": 10,
        "refused": 0,
        "seconds": 10.0,
        "decoded": 350,
        "judged": 50,
        "cpu_s": 2.0,
        "supervisor_cpu_s": 0.1,
        "units": 350,
        **changed,
    }


def test_the_limit_is_the_work_that_was_done_at_what_it_costs_without_a_gate() -> None:
    bare_s = 50 * 0.010 + 300 * 0.002 + 150 * 0.0005 + 50 * 0.007
    found = compared(result(), HOT, PACED)
    assert found["efficiency"] == pytest.approx(bare_s / 2.0, abs=0.001)
    assert found["limit_streams_per_core"] == pytest.approx(100 / bare_s, abs=0.01)
    assert found["efficiency_back_to_back"] < found["efficiency"]


def test_streams_that_were_refused_count_for_nothing() -> None:
    """A keyframe costs more than the frames after it. Counting those of refused streams would flatter."""
    let_in = compared(result(), HOT, PACED)
    offered = compared(result(streams=14, refused=4), HOT, PACED)
    assert offered["efficiency"] == let_in["efficiency"]
    assert offered["limit_streams_per_core"] == let_in["limit_streams_per_core"]


def test_units_of_the_limit_come_when_they_would_at_a_gate() -> None:
    burst = [AccessUnit(33 * number, 33 * number, number == 0, b"", 0.0) for number in range(7)]
    times: dict[int, list[float]] = {}
    last = 0.0
    for at, stream, units, number in islice(_arrivals([burst], 5, 100.0, random.Random(1)), 5 * 7 * 6):
        assert at >= last
        assert units[number] is burst[len(times.setdefault(stream, [])) % 7]
        last = at
        times[stream].append(at)
    for own in times.values():
        keyframes = own[::7]
        assert all(after - before == pytest.approx(GOP_S) for before, after in pairwise(keyframes))
        assert own[1] - own[0] == pytest.approx(0.033)
