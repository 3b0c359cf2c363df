"""Overload in simulated time: nothing vanishes, alert comes before calm, and no stream starves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.stream.ports import Luma
from tests.workers.simulated import POLICY, START_MS, Outcome, SlowDetector, Stream, simulate

SECONDS = 6
ALERT_SAMPLES = 1000 / POLICY.tiers.alert_interval_ms
streams = st.lists(st.builds(Stream, st.integers(0, 999), st.booleans()), min_size=1, max_size=10)


def shed(outcome: Outcome, number: int) -> int:
    return sum(outcome.pipelines[f"st{number}"].counters.shed.values())


def judged(outcome: Outcome, number: int) -> int:
    return len(outcome.judged[f"st{number}"])


@settings(max_examples=20, deadline=None)
@given(streams, st.floats(1, 150))
def test_every_sample_is_judged_in_time_or_counted(streams: list[Stream], infer_ms: float) -> None:
    outcome = simulate(streams, infer_ms, seconds=3)
    for ident, pipeline in outcome.pipelines.items():
        counters = pipeline.counters
        assert counters.judged == len(outcome.judged[ident])
        lost = sum(counters.shed.values())
        assert counters.samples == counters.judged + lost + outcome.pending[ident]
        assert counters.units == 3 * 15
        times = [one.verdict.pts_ms for one in outcome.judged[ident]]
        assert times == sorted(set(times))
        for one in outcome.judged[ident]:
            # Judging begins only if it can end in time. Its cost is known from the second sample on.
            assert one.judged_ms - one.arrival_ms <= POLICY.budget_ms + infer_ms
    said = sum(outcome.said[reason] for reason in ("late", "superseded", "gave_way", "queue_full"))
    assert said >= sum(shed(outcome, number) for number in range(len(streams)))


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(0, 999), max_size=12), st.floats(0.2, 0.6))
def test_calm_streams_lose_before_any_alert_one_does(alert: int, calm: list[int], share: float) -> None:
    """Alert streams that fit keep every sample, whatever calm streams are added."""
    infer_ms = 1000 * share / (alert * ALERT_SAMPLES)
    streams = [Stream(137 * number % 1000, alert=True) for number in range(alert)]
    outcome = simulate([*streams, *map(Stream, calm)], min(infer_ms, 80.0), seconds=4)
    for number in range(alert):
        assert shed(outcome, number) == 0
        assert judged(outcome, number) >= 4 * ALERT_SAMPLES - 2


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 999), min_size=25, max_size=40))
def test_frames_of_calm_streams_that_come_too_late_cost_alert_ones_nothing(calm: list[int]) -> None:
    """Three times the worker's capacity and more, most of it before anything can be judged."""
    streams = [Stream(0, alert=True), *map(Stream, calm)]
    outcome = simulate(streams, 15.0, seconds=4, plane_ms=30.0)
    # Jobs that begin before any stream's cost is known may delay others.
    later = [one for one in outcome.judged["st0"] if one.verdict.pts_ms >= 1000]
    assert len(later) >= 3 * ALERT_SAMPLES - 2


@pytest.mark.parametrize("alert", [True, False])
def test_a_stream_that_arrives_all_at_once_delays_no_other(alert: bool) -> None:
    """Three seconds of work arrive in a moment, in the middle of what is due to others."""
    usual = [Stream(137 * number) for number in range(5)]
    flood = Stream(2500, alert=alert, at_once=True)
    before = simulate(usual, 15.0, plane_ms=15.0)
    with_flood = simulate([*usual, flood], 15.0, plane_ms=15.0)
    for number in range(len(usual)):
        assert shed(before, number) == 0
        assert judged(with_flood, number) == judged(before, number)
    assert judged(with_flood, 5)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 49), min_size=20, max_size=20))
def test_what_is_begun_is_finished(jitter_ms: list[int]) -> None:
    """With twice its capacity in demand, the worker judges nearly as much as it can. It does not leave
    all jobs half done."""
    streams = [Stream(50 * number + jitter) for number, jitter in enumerate(jitter_ms)]
    outcome = simulate(streams, 15.0, seconds=6, plane_ms=30.0)
    assert sum(judged(outcome, number) for number in range(20)) >= 0.75 * 6000 / (3 * 30 + 15)


@pytest.mark.parametrize("gap_ms", [44, 47, 50, 53])
def test_jobs_of_media_that_is_passed_over_do_not_go_before_begun_samples(gap_ms: int) -> None:
    """Their deadlines are the oldest. A worker that runs them for what has come since begins samples and
    finishes none."""
    outcome = simulate([Stream(gap_ms * number) for number in range(20)], 15.0, seconds=6, plane_ms=30.0)
    assert sum(judged(outcome, number) for number in range(20)) >= 0.75 * 6000 / (3 * 30 + 15)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 0.99), min_size=12, max_size=20), st.floats(0.5, 1.5))
def test_no_calm_stream_starves(jitter: list[float], load: float) -> None:
    """With up to half as much again as its capacity, all streams lose alike.

    A budget has room for two judgements. Where it has not, a waiting stream can wait in vain.
    """
    assert_all_lose_alike(jitter, load)


@pytest.mark.parametrize("late", [0.8, 0.875, 0.95])
@pytest.mark.parametrize("load", [1.05, 1.125, 1.2, 1.3])
def test_a_stream_whose_keyframes_come_at_a_bad_time_does_not_starve(late: float, load: float) -> None:
    """They always come while three begun samples wait."""
    assert_all_lose_alike([0.0] * 11 + [late], load)


@pytest.mark.parametrize("phase_ms", [400, 900])
def test_a_stream_that_is_late_even_when_it_goes_first_takes_no_turn_of_others(phase_ms: int) -> None:
    """Its frames take nearly a budget each, so it is never judged, and loses samples for longest."""
    streams = [Stream(int(1000 / 12 * (number + 0.875 * (number == 11)))) for number in range(12)]
    outcome = simulate([*streams, Stream(phase_ms)], 1050 / 12, seconds=10, frame_ms={"st12": 200.0})
    counts = [judged(outcome, number) for number in range(12)]
    assert min(counts) >= sum(counts) / len(counts) / 3


def assert_all_lose_alike(jitter: list[float], load: float) -> None:
    step_ms = 1000 / len(jitter)
    streams = [Stream(int(step_ms * (number + part))) for number, part in enumerate(jitter)]
    outcome = simulate(streams, 1000 * load / len(jitter), seconds=8)
    counts = [judged(outcome, number) for number in range(len(streams))]
    assert min(counts) >= sum(counts) / len(counts) / 3


def test_the_newest_sample_of_a_stream_goes_first() -> None:
    """One stream exceeds the worker. Its judged samples are fresh, and the rest is superseded."""
    outcome = simulate([Stream(0, alert=True)], 240.0, seconds=SECONDS)
    counters = outcome.pipelines["st0"].counters
    assert counters.shed
    assert judged(outcome, 0) >= 10
    # Two samples show that they are that expensive. One could be the machine's fault.
    assert max(one.judged_ms - one.arrival_ms for one in outcome.judged["st0"][2:]) <= POLICY.budget_ms


def test_a_worker_that_stood_still_once_judges_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that pauses or swaps makes one sample cost seconds, but not the next ones."""
    calls = 0
    usual = SlowDetector.infer

    def infer(self: SlowDetector, planes: Luma) -> Luma:
        nonlocal calls
        calls += 1
        if calls == 8:
            self.clock.advance_ms(3000)
        return usual(self, planes)

    monkeypatch.setattr(SlowDetector, "infer", infer)
    outcome = simulate([Stream(100 * number) for number in range(6)], 10.0, seconds=16)
    for number in range(6):
        late = [one for one in outcome.judged[f"st{number}"] if one.arrival_ms > START_MS + 8000]
        assert len(late) >= 6
