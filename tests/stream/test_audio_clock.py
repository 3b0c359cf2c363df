"""Audio is as long as its samples say, whatever its stamps say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.stream.audio_clock import AudioClock


def test_small_deviations_are_followed_and_a_gap_is_one() -> None:
    clock = AudioClock()
    assert clock.frame_time(1000, 20) == (1000, True)
    assert clock.frame_time(1020, 20) == (1020, False)
    start_ms, restarted = clock.frame_time(1104, 20)
    assert (start_ms, restarted) == (1041, False)
    assert clock.frame_time(5000, 20) == (5000, True)
    assert clock.frame_time(5020, 20) == (5020, False)
    assert not clock.untimed


def test_drift_is_followed() -> None:
    clock = AudioClock()
    for number in range(5000):
        start_ms, _ = clock.frame_time(20.1 * number, 20)
    assert abs(start_ms - 20.1 * 4999) < 10


def test_gaps_all_the_time_are_none() -> None:
    clock = AudioClock()
    found = [clock.frame_time(900 * number, 20) for number in range(40)]
    assert clock.untimed
    assert [time.restarted for time in found] == [True] * 5 + [False] * 35
    assert found[-1].start_ms == found[-2].start_ms + 20


def test_stamps_that_fall_back_are_no_gap() -> None:
    clock = AudioClock()
    found = [clock.frame_time(1000, 100) for _ in range(50)]
    assert [time.restarted for time in found] == [True] + [False] * 49
    assert found[-1].start_ms > 1000 + 48 * 95
    assert clock.untimed


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.floats(0.1, 5000)), min_size=1, max_size=60))
def test_time_only_goes_forward(frames: list[tuple[int, float]]) -> None:
    clock = AudioClock()
    end_ms = float("-inf")
    for stamp, length_ms in frames:
        start_ms, restarted = clock.frame_time(clock.unit_time(stamp), length_ms)
        assert restarted or start_ms >= end_ms - 300
        end_ms = start_ms + length_ms
