"""The watermark in a caller's stamps and units never covers what was not judged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.media_clock import MediaClock
from edge.supervise import watermark
from edge.supervise.watermark import Watermark


def test_for_honest_stamps_it_is_the_gates_own_with_reordered_frames_too() -> None:
    marks = Watermark()
    stamps = [(80, 0), (240, 40), (160, 80), (120, 120), (200, 160), (400, 200)]
    for number, (pts, dts) in enumerate(stamps):
        marks.add_unit(pts, max(pts, dts), float(number))
    assert marks.caller_pts_ms(160) == 160
    marks.clear(160, 5.0)
    assert (marks.pts_ms, marks.units) == (160, 1)
    marks.clear(240, 5.0)
    assert (marks.pts_ms, marks.units) == (240, 5)


def test_stamps_that_stand_still_clear_nothing_but_units_do() -> None:
    marks = Watermark()
    for number in range(10):
        marks.add_unit(7, 33 * number, float(number))
    marks.clear(99, 3.0)
    assert (marks.pts_ms, marks.units) == (6, 4)


def test_a_stamp_ahead_of_its_time_clears_nothing_that_came_later() -> None:
    """A frame that claims to be a second later than it is: what follows has the times before its own."""
    marks = Watermark()
    marks.add_unit(1000, 1000, 0.0)
    for number in range(1, 20):
        marks.add_unit(33 * number, 33 * number, float(number))
    marks.clear(1000, 0.0)
    assert (marks.pts_ms, marks.units) == (32, 1)


def test_stamps_that_go_back_take_it_back() -> None:
    marks = Watermark()
    marks.add_unit(50_000, 50_000, 0.0)
    marks.clear(50_000, 0.0)
    assert marks.pts_ms == 50_000
    marks.add_unit(40, 50_040, 1.0)
    assert (marks.pts_ms, marks.units) == (39, 1)


def test_a_watermark_that_stays_takes_bounded_memory(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(watermark, "MOST_WAITING", 8)
    marks = Watermark()
    for number in range(100):
        marks.add_unit(number, number, float(number))
    assert len(marks._waiting) == 8
    marks.clear(98, 99.0)
    assert (marks.pts_ms, marks.units) == (98, 99)


stamps = st.one_of(st.integers(0, 400), st.integers(-(2**40), 2**40))


@given(st.lists(st.tuples(stamps, stamps, st.booleans()), max_size=60))
def test_nothing_is_covered_that_no_sample_has_shown(units: list[tuple[int, int, bool]]) -> None:
    clock, marks = MediaClock(), Watermark()
    waiting: list[tuple[int, int]] = []
    judged = 0
    for number, (pts, dts, sampled) in enumerate(units):
        gate_pts, gate_dts = clock.advance(pts, dts, 40.0 * number)
        caller_pts = clock.unwrapped_pts_ms(pts, dts)
        marks.add_unit(caller_pts, max(gate_pts, gate_dts), 40.0 * number)
        waiting.append((number, caller_pts))
        if sampled:
            # Everything so far has been decoded, and everything so far is covered at most.
            marks.clear(max(gate_pts, gate_dts), 40.0 * number)
            judged = number + 1
        assert marks.units <= judged
        unjudged = [pts for index, pts in waiting if index >= judged]
        assert all(pts > marks.pts_ms for pts in unjudged)
