"""Media time only goes forward, even if a publisher's timestamps go back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.ingest.timeline import MAX_FORWARD_JUMP_MS, MAX_REORDER_MS, Timeline, presentation_ms

TOLERANCE = 500


@given(st.lists(st.integers(0, 2**32 - 1), max_size=60))
def test_time_never_falls_behind_the_newest_by_more_than_the_interleaving(stamps: list[int]) -> None:
    timeline = Timeline()
    newest = None
    for stamp in stamps:
        time = timeline.media_ms(stamp, TOLERANCE)
        if newest is not None:
            assert newest - TOLERANCE <= time <= newest + MAX_FORWARD_JUMP_MS
        newest = time if newest is None else max(newest, time)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-200, 5000), max_size=60))
def test_honest_timestamps_keep_their_distances_and_unwrap(start: int, steps: list[int]) -> None:
    timeline = Timeline()
    true = newest = start
    assert timeline.media_ms(start) == start
    for step in steps:
        true = newest + step
        assert timeline.media_ms(true & 0xFFFFFFFF, TOLERANCE) == true
        newest = max(newest, true)
    assert timeline.jumps == 0


def test_a_jump_back_goes_on_behind_what_came_before() -> None:
    timeline = Timeline()
    assert [timeline.media_ms(stamp) for stamp in (100_000, 100_040, 0, 40, 80)] == [
        100_000,
        100_040,
        100_040,
        100_080,
        100_120,
    ]
    assert timeline.jumps == 1


@given(st.integers(-(2**23), 2**23 - 1))
def test_a_composition_time_is_bounded(composition_ms: int) -> None:
    assert 0 <= presentation_ms(0, composition_ms) <= MAX_REORDER_MS
