"""Idle time is used up to its bound and given back at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.workers.idle_capacity import LEAST_MS, MOST_MS, UPDATE_MS, IdleCapacity

GOP_MS = 2000


class Box:
    """A worker whose load follows its target after a delay, as GOPs come."""

    def __init__(self, target: float, streams: int, due_share: float = 0.0165) -> None:
        self.spare = IdleCapacity(target)
        self.streams, self.due_share = streams, due_share
        self.now = self.busy_ms = self.opportunistic_ms = 0.0
        self.preempted = 0
        self.asked: list[int] = [0, 0]

    def second(self) -> float:
        """Runs for a second. Returns the share of it that was busy."""
        dense = min(self.asked[-2], GOP_MS) / GOP_MS * 0.09 * self.streams
        due = self.due_share * self.streams
        busy = min(due + dense, 1.0)
        self.now += UPDATE_MS
        self.busy_ms += busy * UPDATE_MS
        self.opportunistic_ms += max(busy - due, 0.0) * UPDATE_MS
        self.spare.update(self.now, self.busy_ms, self.opportunistic_ms, self.preempted)
        self.asked.append(self.spare.ms)
        return busy


@given(st.integers(1, 80), st.sampled_from([0.3, 0.5, 0.7]))
def test_it_settles_at_its_bound_or_below(streams: int, target: float) -> None:
    box = Box(target, streams)
    shares = [box.second() for _ in range(60)][40:]
    due = min(box.due_share * streams, 1.0)
    # The first step is the smallest one, whatever it costs.
    assert max(shares) <= max(due, target + 0.05, due + LEAST_MS / GOP_MS * 0.09 * streams)
    assert sum(shares) / len(shares) <= max(due, target) + 0.1
    # The rest is used, unless it is too little for one more sample, or everything is dense already.
    least = due + LEAST_MS / GOP_MS * 0.09 * streams
    if least < target - 0.1:
        assert min(box.asked[-20:]) >= LEAST_MS


@given(st.integers(1, 60))
def test_it_is_given_back_when_something_gave_way(streams: int) -> None:
    box = Box(0.5, streams)
    for _ in range(30):
        box.second()
    before = box.spare.ms
    for _ in range(4):
        box.preempted += 1
        box.second()
    assert box.spare.ms < max(before, 1)
    assert box.spare.ms <= max(before // 8, 0) + 200


@given(st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 2000), st.integers(0, 3)), max_size=60))
def test_any_measure_gives_an_amount_in_bounds(steps: list[tuple[float, float, int]]) -> None:
    spare = IdleCapacity(0.5)
    now = busy = opportunistic = 0.0
    preempted = 0
    for busy_ms, opportunistic_ms, given_up in steps:
        now, busy, preempted = now + UPDATE_MS, busy + busy_ms, preempted + given_up
        opportunistic += min(busy_ms, opportunistic_ms)
        was = spare.ms
        assert spare.update(now, busy, opportunistic, preempted) == (spare.ms != was)
        assert spare.ms == 0 or LEAST_MS <= spare.ms <= MOST_MS


def test_nothing_is_taken_on_where_nothing_may_be() -> None:
    box = Box(0.0, 1)
    for _ in range(20):
        box.second()
    assert set(box.asked) == {0}


def test_a_worker_without_streams_does_not_take_its_idle_time_for_time_to_spare() -> None:
    box = Box(0.5, streams=0)
    for _ in range(20):
        box.second()
    assert box.spare.ms == 0
    box.streams = 5
    box.second()
    assert box.spare.ms == 0
    for _ in range(20):
        box.second()
    assert box.spare.ms >= LEAST_MS
