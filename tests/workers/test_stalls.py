"""Stalls of the loop outside of its jobs are reported."""

from __future__ import annotations

from structlog.testing import capture_logs

from edge.clock import ManualClock
from edge.workers.stalls import Stalls


def test_a_lap_that_takes_too_long_is_said_with_what_it_was_and_not_too_often() -> None:
    clock = ManualClock()
    stalls = Stalls(clock)

    def lap(name: str, ms: float, meant_ms: float = 0.0) -> None:
        clock.advance_ms(ms)
        stalls.lap(lambda: name, meant_ms)

    with capture_logs() as said:
        clock.advance_ms(60_000)  # A job.
        stalls.begin()
        lap("waiting", 2100, meant_ms=2000)
        lap("banks", 200)
        assert said == []
        lap("OpenPull", 400)
        lap("banks", 300)
        lap("banks", 300)
        clock.advance_ms(10_000)
        stalls.begin()
        lap("waiting", 2600, meant_ms=2000)
    assert [(line["what"], line["held_ms"], line["unsaid"]) for line in said] == [
        ("OpenPull", 400, 0),
        ("waiting", 600, 2),
    ]
    assert {line["log_level"] for line in said} == {"warning"}
