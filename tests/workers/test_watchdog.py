"""The watchdog counts time in beats, and only while the supervisor watches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.workers.watchdog import Watchdog

EVERY = 1000.0
passed = st.integers(1, 10_000_000).map(float)


def test_a_worker_that_answers_is_never_silent_however_late_the_beats_are() -> None:
    watchdog = Watchdog()
    for late in (1000.0, 60_000.0, 1e7):
        watchdog.beat(late, EVERY, None, 0.0)
        assert watchdog.silent_ms == 0.0
        watchdog.heard()


def test_silence_and_a_job_count_from_beat_to_beat() -> None:
    watchdog = Watchdog()
    seen = []
    for n in range(4):
        watchdog.beat(EVERY, EVERY, 500.0, 1000.0 * (n + 1))
        seen.append((watchdog.silent_ms, watchdog.job_ms))
    assert seen == [(0.0, 500.0), (1000.0, 1500.0), (2000.0, 2500.0), (3000.0, 3500.0)]
    watchdog.heard()
    assert watchdog.silent_ms == 0.0
    watchdog.beat(EVERY, EVERY, 4900.0, 5000.0)  # The next job.
    assert watchdog.job_ms == 100.0
    watchdog.beat(EVERY, EVERY, None, 6000.0)
    assert watchdog.job_ms == 0.0


@given(st.lists(passed, min_size=1, max_size=20))
def test_one_beat_counts_for_two_at_most(gaps: list[float]) -> None:
    """The supervisor stood still. Its old observations are no fault of its workers."""
    watchdog = Watchdog()
    now = 0.0
    for gap in gaps:
        now += gap
        before = (watchdog.silent_ms, watchdog.job_ms)
        watchdog.beat(gap, EVERY, 0.0, now)
        assert watchdog.silent_ms - before[0] <= min(gap, 2 * EVERY)
        assert watchdog.job_ms - before[1] <= min(gap, 2 * EVERY)


@given(st.lists(st.tuples(passed, st.booleans()), min_size=1, max_size=30), st.integers(2, 10))
def test_what_does_not_answer_is_found_in_time(history: list[tuple[float, bool]], beats: int) -> None:
    """After any history, silence over this many beats counts as long as they are."""
    watchdog = Watchdog()
    for gap, heard in history:
        watchdog.beat(gap, EVERY, None, 0.0)
        if heard:
            watchdog.heard()
    before = watchdog.silent_ms
    for _ in range(beats):
        watchdog.beat(EVERY, EVERY, None, 0.0)
    assert watchdog.silent_ms >= before + (beats - 1) * EVERY
