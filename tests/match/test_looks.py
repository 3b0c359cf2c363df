"""When frames that are not known as they are are looked at closer."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge.match.looks import NEW_MS, NEW_PAUSE_MS, PAUSE_MS, SEEN_MS, LookSchedule

EVERY_MS = 200


def looks(found_at: set[int], until_ms: int, begin_ms: int = 0) -> list[int]:
    """Media times of the looks, one frame every 200 ms."""
    schedule, at = LookSchedule(), []
    for pts_ms in range(begin_ms, until_ms, EVERY_MS):
        looked = schedule.due(pts_ms)
        schedule.judged(pts_ms, looked=looked, found=pts_ms in found_at)
        at += [pts_ms] * looked
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
    schedule, looked = LookSchedule(), []
    for pts_ms in range(0, 30_000, 2000):
        looked.append(schedule.due(pts_ms))
        schedule.judged(pts_ms, looked=looked[-1], found=False)
    assert all(looked[:6])
    assert looked[6:] == [False, True] * 4 + [False]


@given(st.lists(st.tuples(st.integers(0, 100_000), st.booleans()), max_size=60))
def test_whatever_the_times_no_stretch_is_without_a_look(frames: list[tuple[int, bool]]) -> None:
    """Between two frames in order that are further apart than the pause, the later one is looked at."""
    schedule = LookSchedule()
    last_look = before = -1
    for pts_ms, found in frames:
        if pts_ms < before:
            last_look = -1
        looked = schedule.due(pts_ms)
        if last_look < 0 or pts_ms - last_look >= PAUSE_MS:
            assert looked
        schedule.judged(pts_ms, looked=looked, found=found)
        last_look, before = pts_ms if looked else last_look, pts_ms
