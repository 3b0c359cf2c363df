"""A flood of one event is bounded in the log, and what is left out is said."""

from __future__ import annotations

from collections import Counter

import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge.domain import Publish
from edge.reasons import AdmissionReason, EndReason
from edge.telemetry import line_limit
from edge.telemetry.line_limit import MOST_LINES, LineLimit
from edge.telemetry.log_aggregator import MAX_CAUSES
from edge.telemetry.log_lines import LogBackend
from edge.telemetry.records import PublishRefused, StreamOver, TurnedAway, WatchingFailed
from edge.telemetry.telemetry import Telemetry


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 0.4)), max_size=400))
def test_no_line_is_lost_without_being_counted(lines: list[tuple[str, float]]) -> None:
    now_s = 0.0
    limit = LineLimit(lambda: now_s)
    written, counted, asked = Counter[str](), Counter[str](), Counter[str]()
    for event, pause_s in lines:
        now_s += pause_s * 0.01
        asked[event] += 1
        left_out = limit.left_out_before(event)
        if left_out is not None:
            written[event] += 1
            counted[event] += left_out
    seconds = int(now_s) + 1
    for event in asked:
        assert written[event] <= MOST_LINES * seconds
        assert written[event] >= min(asked[event], MOST_LINES)
    now_s += 1
    for event in asked:
        left_out = limit.left_out_before(event)
        assert left_out is not None
        assert written[event] + counted[event] + left_out == asked[event]


def test_events_are_bounded_too() -> None:
    limit = LineLimit(lambda: 0.0)
    allowed = [limit.left_out_before(f"event {number}") is not None for number in range(10_000)]
    assert sum(allowed) == line_limit._MAX_EVENTS + MOST_LINES
    assert len(limit._seconds) == line_limit._MAX_EVENTS + 1


def test_a_logger_says_how_many_lines_it_left_out() -> None:
    now_s = 0.0
    written: list[structlog.typing.EventDict] = []

    class Lines:
        def info(self, **event: object) -> None:
            written.append(event)

    log = structlog.wrap_logger(Lines(), processors=[LineLimit(lambda: now_s)])
    for number in range(60_000):
        log.info("publish refused", number=number)
    assert len(written) == MOST_LINES
    now_s = 1.0
    log.info("publish refused", number=60_000)
    assert written[-1]["left_out"] == 60_000 - MOST_LINES


def test_a_flood_of_publishes_under_ever_new_names_is_a_few_lines_a_second() -> None:
    telemetry = Telemetry(LogBackend())
    with capture_logs() as lines:
        for second in range(6):
            for number in range(2_500):
                publish = Publish("grpc", f"c{number}", "live", "n", f"b{second}-{number}")
                telemetry.report(PublishRefused(publish, AdmissionReason.QUOTA, "", ""))
                telemetry.report(TurnedAway(publish, "invalid", ""))
                telemetry.report(WatchingFailed(f"st{number}", publish, "broken_media", ""))
                telemetry.report(StreamOver(f"st{number}", publish, EndReason.UNWATCHED, 0))
            telemetry.flush()
    assert len(lines) <= 6 * 3 * (MAX_CAUSES + 1)
    assert sum(line.get("count", 1) for line in lines) == 6 * 4 * 2_500
