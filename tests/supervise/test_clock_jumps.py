"""A wall clock that has stepped is not trusted for a while, in either direction."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.supervise.clock_jumps import LONGEST_WAIT_MS, STEP_MS, WAIT_MS, ClockJumps

WALL = 1_700_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PAUSES = st.integers(1_000, 8 * HOUR_MS)
"""Milliseconds between two looks. A second is usual. A ledger that is away makes it longer."""


class Machine:
    """The two clocks, and the detector's view of them."""

    def __init__(self) -> None:
        self.monotonic_ms, self.offset_ms = 5_000, 0
        self.steps = ClockJumps(WALL + 5_000, 5_000.0)

    def look(self, after_ms: int = 1_000, step_ms: int = 0) -> float:
        self.monotonic_ms += after_ms
        self.offset_ms += step_ms
        return self.steps.look(WALL + self.offset_ms + self.monotonic_ms, float(self.monotonic_ms))

    def trusted_after_ms(self) -> int:
        """Time that passes evenly until the wall clock is trusted."""
        began = self.monotonic_ms
        while self.steps.wait_ms > 0.0:
            assert self.look(60_000) == 0.0
        return self.monotonic_ms - began


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.look(int(WAIT_MS))
    return machine


def test_at_the_start_it_is_trusted_after_ten_minutes() -> None:
    machine = Machine()
    machine.look(int(WAIT_MS) - 1)
    assert machine.steps.wait_ms == 1.0
    machine.look(1)
    assert machine.steps.wait_ms == 0.0


@pytest.mark.parametrize(
    ("step_ms", "wait_ms"),
    [
        (90_000, WAIT_MS),
        (5 * HOUR_MS, 5 * HOUR_MS),
        (400 * DAY_MS, LONGEST_WAIT_MS),
        (-90_000, WAIT_MS),
        (-400 * DAY_MS, WAIT_MS),
    ],
)
def test_a_step_is_trusted_when_its_time_has_gone_by(machine: Machine, step_ms: int, wait_ms: float) -> None:
    assert machine.look(step_ms=step_ms) == step_ms
    assert machine.steps.wait_ms == wait_ms
    assert machine.trusted_after_ms() == wait_ms


def test_a_step_that_is_undone_is_trusted_after_ten_minutes(machine: Machine) -> None:
    assert machine.look(step_ms=DAY_MS) == DAY_MS
    assert machine.look(HOUR_MS) == 0.0
    assert machine.look(step_ms=-DAY_MS + 50) == -DAY_MS + 50
    assert machine.trusted_after_ms() == WAIT_MS


def test_small_steps_add_up(machine: Machine) -> None:
    assert [machine.look(step_ms=20_000) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert machine.look(step_ms=20_000) > STEP_MS


@given(st.lists(st.tuples(PAUSES, st.integers(-20_000, 20_000)), max_size=60), st.integers(-500, 500))
def test_a_clock_that_ntp_keeps_never_steps(looks: list[tuple[int, int]], millionths: int) -> None:
    """The clock is slewed for ever, and it is off by less than half a minute at any look."""
    machine = Machine()
    for pause_ms, off_ms in looks:
        slewed = (machine.monotonic_ms + pause_ms) * millionths // 1_000_000
        assert machine.look(pause_ms, slewed + off_ms - machine.offset_ms) == 0.0
    machine.look(int(WAIT_MS))
    assert machine.steps.wait_ms == 0.0


@given(
    st.lists(
        st.tuples(PAUSES, st.sampled_from([0, 0, 1]) | st.integers(-3 * DAY_MS, 3 * DAY_MS)), max_size=60
    )
)
def test_while_it_is_trusted_it_has_gone_on_as_time_does(looks: list[tuple[int, int]]) -> None:
    """Between trusted looks the wall clock gains no more than the elapsed time. A day or more is exempt.

    For ten minutes before each trusted look it ran evenly.
    """
    machine = Machine()
    seen: list[tuple[int, int, bool]] = []
    for pause_ms, step_ms in looks:
        machine.look(pause_ms, step_ms)
        seen.append((machine.monotonic_ms, machine.offset_ms, machine.steps.wait_ms == 0.0))
    for (at, offset, trusted), (later, then, trusted_then) in combinations(seen, 2):
        went_by = later - at
        slack = 2 * STEP_MS + went_by * 0.001
        if trusted and trusted_then and went_by < LONGEST_WAIT_MS:
            assert then - offset <= went_by + slack
        if trusted_then and went_by < WAIT_MS:
            assert abs(then - offset) <= slack


@given(st.lists(PAUSES, max_size=20), st.integers(int(STEP_MS) + 1, 400 * DAY_MS))
def test_nothing_is_trusted_sooner_than_the_step_was_long(pauses: list[int], step_ms: int) -> None:
    machine = Machine()
    machine.look(int(WAIT_MS))
    machine.look(step_ms=step_ms)
    needed_ms = max(WAIT_MS, min(step_ms, LONGEST_WAIT_MS))
    went_by = 0
    for pause_ms in pauses:
        machine.look(pause_ms)
        went_by += pause_ms
        assert (machine.steps.wait_ms == 0.0) == (went_by >= needed_ms)
