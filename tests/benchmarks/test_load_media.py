"""The looped media that the load benchmark's streams send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks._media import Loop, Unit

STEP_MS = 40


@given(gops=st.lists(st.integers(1, 9), min_size=1, max_size=6), share=st.floats(0, 1, exclude_max=True))
def test_a_loop_begins_at_any_of_its_keyframes_and_goes_round_without_a_gap(
    gops: list[int], share: float
) -> None:
    places = [place for length in gops for place in range(length)]
    units = tuple(
        Unit(n * STEP_MS + 5, n * STEP_MS, place == 0, bytes([n])) for n, place in enumerate(places)
    )
    loop = Loop("h264", b"", units, len(units) * STEP_MS)
    begun = loop.begun_at(share)
    first = begun.units[0].data[0]
    assert begun.units[0].keyframe
    assert first <= share * len(units) < first + gops[sum(units[n].keyframe for n in range(first))]
    assert [unit.data for unit in begun.units] == [unit.data for unit in (*units[first:], *units[:first])]
    assert [unit.dts_ms for unit in begun.units] == [n * STEP_MS for n in range(len(units))]
    assert {unit.pts_ms - unit.dts_ms for unit in begun.units} == {5}
    assert begun.duration_ms == loop.duration_ms
