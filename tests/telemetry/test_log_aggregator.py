"""At most one line a second for each cause, with a count."""

from __future__ import annotations

from structlog.testing import capture_logs

from edge.telemetry.log_aggregator import MAX_CAUSES, LogAggregator


def test_many_events_are_one_line_a_cause() -> None:
    tally = LogAggregator("not judged")
    for number in range(100):
        tally.note("late", f"st{number % 3}", 2)
    tally.note("blind", "st1")
    with capture_logs() as lines:
        tally.flush()
        tally.flush()
    assert [(line["cause"], line["count"], line["streams"]) for line in lines] == [
        ("late", 200, 3),
        ("blind", 1, 1),
    ]
    assert {line["event"] for line in lines} == {"not judged"}


def test_causes_are_bounded() -> None:
    tally = LogAggregator("not judged")
    for number in range(MAX_CAUSES + 50):
        tally.note(f"cause{number}")
    with capture_logs() as lines:
        tally.flush()
    assert len(lines) == MAX_CAUSES + 1
    assert lines[-1]["cause"] == "other"
    assert lines[-1]["count"] == 50
