"""The load estimate: no more than the actual load, no less than the assigned load."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.workers.load import LoadEstimate

IDENTS = map(str, itertools.count())
COST = 0.0155
"""A calm stream's share of a core."""


def come(estimate: LoadEstimate, count: int, *, shown: bool = True) -> list[str]:
    """Streams that come and soon show a verdict, or never do."""
    idents = [next(IDENTS) for _ in range(count)]
    for ident in idents:
        estimate.opened(ident)
        if shown:
            estimate.shown(ident)
    return idents


def grown(arrivals: list[int], cost: float, estimate: LoadEstimate) -> int:
    """A worker that gets this many streams in each interval. Returns its number of streams at the end."""
    streams = 0
    for count in arrivals:
        come(estimate, count)
        # Streams that came in the interval have been there for half of it.
        estimate.measured((streams + count / 2) * cost)
        streams += count
    return streams


@given(st.lists(st.integers(0, 12), min_size=8, max_size=20), st.floats(0.005, 0.05))
def test_streams_that_come_all_the_time_are_estimated_as_what_they_cost(
    arrivals: list[int], cost: float
) -> None:
    estimate = LoadEstimate()
    streams = grown([8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, *arrivals], cost, estimate)
    assert estimate.load == pytest.approx(streams * cost, rel=0.15, abs=0.01)


def test_a_crowd_that_comes_at_once_is_counted_before_it_shows() -> None:
    estimate = LoadEstimate()
    grown([10, 0, 0, 0, 0, 0, 0], COST, estimate)
    for _ in range(40):
        estimate.opened(next(IDENTS))
    assert estimate.load == pytest.approx(50 * COST, rel=0.15)


def test_the_first_streams_of_a_new_worker_are_counted() -> None:
    estimate = LoadEstimate()
    for number in range(1, 31):
        estimate.opened(next(IDENTS))
        assert estimate.load == pytest.approx(0.017 * number)


@settings(max_examples=50)
@given(st.integers(10, 60), st.integers(0, 2**32))
def test_waves_of_keyframes_do_not_look_like_load(streams: int, seed: int) -> None:
    """GOPs of two seconds that began together: the work of one second is not repeated in the next."""
    estimate = LoadEstimate()
    share = random.Random(seed).uniform(0.2, 0.8)
    come(estimate, streams)
    for second in range(8):
        wave = 2 * (share if second % 2 else 1 - share)
        estimate.measured(streams * COST * wave)
        if second > 2:
            assert estimate.load == pytest.approx(streams * COST, rel=0.05)


def test_a_start_that_costs_more_is_no_measure_of_those_that_come() -> None:
    estimate = LoadEstimate()
    for second in range(3):
        come(estimate, 10)
        estimate.measured(0.3 + 0.1 * second)
    before = estimate.load
    estimate.opened(next(IDENTS))
    assert estimate.load - before < 0.02


def test_streams_that_are_gone_are_forgotten() -> None:
    estimate = LoadEstimate()
    for ident in come(estimate, 40):
        estimate.closed(ident)
    estimate.measured(0.0)
    estimate.measured(0.0)
    assert estimate.load == 0.0


def test_a_stream_costs_what_streams_have_cost_here() -> None:
    estimate = LoadEstimate()
    grown([10, *[0] * 12], 0.05, estimate)
    before = estimate.load
    estimate.opened(next(IDENTS))
    assert estimate.load - before == pytest.approx(0.05, rel=0.1)


@given(st.floats(0.004, 0.02), st.integers(1, 4), st.integers(16, 40))
def test_a_cost_learned_in_a_bad_moment_is_forgotten_though_streams_come_all_the_time(
    cost: float, coming: int, streams: int
) -> None:
    """As many streams leave as arrive. A worker that stood still was busy all of the time for a while."""
    estimate = LoadEstimate()
    here = come(estimate, streams)
    for _ in range(9):
        estimate.measured(streams * cost)
    for _ in range(5):
        estimate.measured(1.0)
    assert estimate.cost > cost
    for _ in range(30):
        for ident in here[:coming]:
            estimate.closed(ident)
        here = here[coming:] + come(estimate, coming)
        estimate.measured(streams * cost)
    assert estimate.cost <= 1.1 * cost * streams / (streams - 3 * coming) + 0.001
    assert estimate.cost >= min(cost, 0.017) * 0.9


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.floats(0.004, 0.05))
def test_what_comes_is_not_taken_to_cost_less_than_it_does(arrivals: list[int], cost: float) -> None:
    """Streams that have not shown their cost yet do not make streams seem cheap."""
    estimate = LoadEstimate()
    grown([8, *[0] * 8, *arrivals], cost, estimate)
    assert estimate.cost >= 0.9 * min(cost, 0.017)


@given(st.integers(0, 200), st.integers(0, 3), st.booleans())
def test_streams_that_have_left_count_no_more(guests: int, reports: int, shown: bool) -> None:
    """Publishes that end at once must not make a worker look full."""
    estimate, host = LoadEstimate(), LoadEstimate()
    for one in (estimate, host):
        grown([8, 0, 0, 0, 0, 0], COST, one)
    idents = come(estimate, guests, shown=shown)
    for _ in range(reports):
        for one in (estimate, host):
            one.measured(8 * COST)
    for ident in idents:
        estimate.closed(ident)
    assert estimate.load == pytest.approx(host.load, rel=0.2)


@given(st.integers(1, 30), st.floats(0.0, 0.2))
def test_what_comes_and_goes_makes_nobody_else_look_costly(coming: int, wasted: float) -> None:
    """What a flood costs the worker is no measure of the streams that stay."""
    estimate = LoadEstimate()
    grown([8, *[0] * 8], COST, estimate)
    for _ in range(20):
        for ident in come(estimate, coming):
            estimate.closed(ident)
        estimate.measured(8 * COST + wasted)
    assert estimate.cost <= 1.1 * COST
    assert estimate.load == pytest.approx(8 * COST + wasted, rel=0.1)


def test_streams_that_send_nothing_fill_no_worker() -> None:
    """Thirty a second open their watching, and stay without a frame."""
    estimate = LoadEstimate()
    grown([8, *[0] * 8], COST, estimate)
    for _ in range(4):
        come(estimate, 30, shown=False)
        estimate.measured(8 * COST)
    for _ in range(30):
        come(estimate, 1, shown=False)
        assert estimate.load <= 0.5
    assert estimate.cost == pytest.approx(COST, rel=0.1), "they make no other stream seem cheap"
    for _ in range(3):
        estimate.measured(8 * COST)
    come(estimate, 40)
    assert estimate.earnest > 0.5, "and the crowd that comes after them counts again"


def test_a_stream_that_is_cut_has_made_room() -> None:
    estimate = LoadEstimate()
    for ident in come(estimate, 60):
        estimate.closed(ident)
    assert estimate.load == 0.0
