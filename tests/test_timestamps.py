"""Media time only goes forward, whatever the timestamps do."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.timestamps import JITTER_MS, LEAP_MS, NOMINAL_MS, REORDER_MS, WRAP_MS, Timestamps


def run(stamps: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], Timestamps]:
    timestamps = Timestamps()
    return [timestamps.advance(pts, dts) for pts, dts in stamps], timestamps


def test_ordinary_stamps_stay_as_they_are() -> None:
    stamps = [(67, 0), (167, 33), (100, 67), (133, 100), (200, 133)]
    assert run(stamps)[0] == stamps


def test_32_bit_wrap_is_unwrapped_for_dts_and_pts() -> None:
    raw = [WRAP_MS - 66, WRAP_MS - 33, 0, 33]
    out, timestamps = run([((dts + 66) % WRAP_MS, dts) for dts in raw])
    assert [dts for _, dts in out] == [WRAP_MS - 66, WRAP_MS - 33, WRAP_MS, WRAP_MS + 33]
    assert [pts - dts for pts, dts in out] == [66] * 4
    assert not timestamps.counts


def test_a_second_wrap_goes_on() -> None:
    step = 1 << 30
    timestamps = Timestamps()
    last = -1
    for index in range(16):
        raw = index * step % WRAP_MS
        _, dts = timestamps.advance(raw, raw)
        assert dts > last
        last = dts


def test_small_fall_is_jitter_and_touches_one_unit() -> None:
    out, timestamps = run([(0, 0), (100, 100), (90, 90), (133, 133)])
    assert [dts for _, dts in out] == [0, 100, 101, 133]
    assert out[2][0] >= out[2][1]
    assert timestamps.counts == {"timestamp_jitter": 1}


def test_large_fall_starts_a_new_base() -> None:
    out, timestamps = run([(50_000, 50_000), (50_033, 50_033), (0, 0), (33, 33)])
    assert [dts for _, dts in out][2:] == [50_033 + NOMINAL_MS, 50_033 + NOMINAL_MS + 33]
    assert timestamps.counts == {"timestamp_back": 1}


def test_a_stream_that_repeats_one_stamp_still_moves() -> None:
    out, _ = run([(7, 7)] * 100)
    assert [pts for pts, _ in out] == sorted({pts for pts, _ in out})


def test_pts_far_from_dts_is_not_believed() -> None:
    out, timestamps = run([(0, 0), (REORDER_MS + 100, 33)])
    assert out[1] == (33, 33)
    assert timestamps.counts == {"timestamp_pts": 1}


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, WRAP_MS - 1)),
            st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, WRAP_MS - 1)),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_dts_rises_in_bounded_steps_and_pts_stays_near(stamps: list[tuple[int, int]]) -> None:
    out, _ = run(stamps)
    for (_, before), (_, after) in pairwise(out):
        assert 0 < after - before <= LEAP_MS
    assert all(abs(pts - dts) <= REORDER_MS + JITTER_MS for pts, dts in out)
    assert -REORDER_MS <= out[0][1] < WRAP_MS


@given(st.lists(st.integers(1, 200), min_size=2, max_size=200), st.integers(0, WRAP_MS - 1))
def test_any_start_and_any_wrap_keep_the_distances(steps: list[int], start: int) -> None:
    times = [start]
    for step in steps:
        times.append(times[-1] + step)
    out, timestamps = run([(t % WRAP_MS, t % WRAP_MS) for t in times])
    assert [dts - out[0][1] for _, dts in out] == [t - times[0] for t in times]
    assert not timestamps.counts
