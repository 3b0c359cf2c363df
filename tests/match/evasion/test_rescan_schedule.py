"""When unknown frames are rescanned."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.match.evasion.rescan_schedule import (
    NEW_MS,
    NEW_PAUSE_MS,
    PAUSE_MS,
    SEEN_MS,
    STILL_BITS,
    STILL_PAUSE_MS,
    RescanSchedule,
    is_still,
)

EVERY_MS = 200
PICTURE = bytes(32)
OTHERS = tuple(bytes([value]) * 32 for value in (0x0F, 0xF0))
"""Two more hashes. They differ from it, and from each other, in half of their bits and in all."""


def changed(bits: int) -> bytes:
    """The hash of the same frame with this many bits changed."""
    return ((1 << bits) - 1).to_bytes(32)


def look(schedule: RescanSchedule, pts_ms: int, bits: bytes, *, found: bool = False) -> bool:
    looked = schedule.due(pts_ms, bits)
    schedule.judged(pts_ms, looked=bits if looked else None, found=found)
    return looked


def looks(found_at: set[int], until_ms: int, begin_ms: int = 0, *, still: bool = False) -> list[int]:
    """Media times of the rescans: one frame every 200 ms, each a new frame or all the same."""
    schedule, at = RescanSchedule(), []
    for number, pts_ms in enumerate(range(begin_ms, until_ms, EVERY_MS)):
        bits = PICTURE if still else OTHERS[number % 2]
        at += [pts_ms] * look(schedule, pts_ms, bits, found=pts_ms in found_at)
    return at


@given(begin_ms=st.integers(0, 10**9))
def test_often_while_the_stream_is_new_seldom_later(begin_ms: int) -> None:
    at = looks(set(), begin_ms + 60_000, begin_ms)
    assert at[0] == begin_ms
    gaps = {later - before for before, later in itertools.pairwise(at)}
    assert all(NEW_PAUSE_MS <= gap <= PAUSE_MS + EVERY_MS for gap in gaps)
    assert len([ms for ms in at if ms < begin_ms + NEW_MS]) >= NEW_MS // (NEW_PAUSE_MS + EVERY_MS)
    assert len([ms for ms in at if ms >= begin_ms + NEW_MS]) <= 50_000 // PAUSE_MS + 1


def test_at_every_frame_where_something_known_was_seen_lately() -> None:
    seen = 30_000
    at = looks({seen}, 60_000)
    assert set(range(seen + EVERY_MS, seen + SEEN_MS + 1, EVERY_MS)) <= set(at)
    assert looks(set(range(20_000, 40_000, EVERY_MS)), 40_000)[-1] == 40_000 - EVERY_MS


def test_calm_samples_two_seconds_apart_are_each_looked_at_while_new_then_every_other() -> None:
    schedule = RescanSchedule()
    # One GOP each: a frame that changes back and forth.
    looked = [look(schedule, 2000 * n, OTHERS[n // 2 % 2]) for n in range(15)]
    assert all(looked[:6])
    assert looked[6:] == [False, True] * 4 + [False]


def test_a_frame_that_stays_is_looked_at_less_often_once_it_is_not_new() -> None:
    at = looks(set(), 60_000, still=True)
    while_new = [ms for ms in at if ms < NEW_MS]
    assert len(while_new) >= NEW_MS // (NEW_PAUSE_MS + EVERY_MS)
    later = [ms for ms in at if ms >= NEW_MS]
    assert {after - before for before, after in itertools.pairwise(later)} == {STILL_PAUSE_MS}


@pytest.mark.parametrize("bits", [0, STILL_BITS, STILL_BITS + 1, 256])
def test_a_new_frame_is_looked_at_as_soon_as_any_would_be(bits: int) -> None:
    schedule = RescanSchedule()
    for pts_ms in range(0, 30_000, EVERY_MS):
        look(schedule, pts_ms, PICTURE)
    schedule.judged(30_000, looked=PICTURE, found=False)
    assert not look(schedule, 30_000 + PAUSE_MS - 1, changed(bits))
    assert look(schedule, 30_000 + PAUSE_MS, changed(bits)) == (bits > STILL_BITS)
    assert look(schedule, 30_000 + STILL_PAUSE_MS, changed(bits)) == (bits <= STILL_BITS)


def test_what_a_still_frame_is_measured_by_is_the_last_one_looked_at() -> None:
    """A frame that changes little by little does not count as still for ever."""
    schedule = RescanSchedule()
    at = [ms for ms in range(0, 60_000, 1000) if look(schedule, ms, changed(ms // 1000 * 4))]
    gaps = {after - before for before, after in itertools.pairwise(ms for ms in at if ms >= NEW_MS)}
    assert gaps == {6000}  # At most 20 of the 64 bits differ for five seconds.


@given(st.lists(st.tuples(st.integers(0, 100_000), st.booleans(), st.integers(0, 256)), max_size=60))
def test_whatever_the_times_no_stretch_is_without_a_look(frames: list[tuple[int, bool, int]]) -> None:
    """Of two frames further apart than the pause, the later one is rescanned."""
    schedule = RescanSchedule()
    last_look = before = -1
    last_bits: bytes | None = None
    for pts_ms, found, differ in frames:
        if pts_ms < before:
            last_look, last_bits = -1, None
        bits = changed(differ)
        looked = look(schedule, pts_ms, bits, found=found)
        pause_ms = STILL_PAUSE_MS if is_still(bits, last_bits) else PAUSE_MS
        if last_look < 0 or pts_ms - last_look >= pause_ms:
            assert looked
        before = pts_ms
        if looked:
            last_look, last_bits = pts_ms, bits
