"""One who reads a ring gets whole stretches from a keyframe on, and what is left out for one who is slow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import AccessUnit
from edge.stream import Ring
from edge.stream.ring_reader import MOST_BEHIND_MS, MOST_READ_BYTES, Reading, RingReader


def unit(number: int, gop: int = 10, size: int = 10) -> AccessUnit:
    return AccessUnit(number * 100, number * 100, number % gop == 0, bytes(size), 0.0)


def filled(ring: Ring, begin: int, end: int, size: int = 10) -> None:
    for number in range(begin, end):
        ring.append(unit(number, size=size))


def numbers(reading: Reading | None) -> list[int]:
    assert reading is not None
    return [each.dts_ms // 100 for each in reading.units]


def test_it_begins_at_a_keyframe_of_the_last_seconds() -> None:
    ring = Ring(10_000, 10**6)
    assert RingReader(ring, 3_000).read() is None
    filled(ring, 0, 55)
    assert numbers(RingReader(ring, 3_000).read())[0] == 30
    assert numbers(RingReader(ring, 0).read())[0] == 50
    assert numbers(RingReader(ring, 99_000).read())[0] == 0


def test_the_newest_unit_waits_for_the_one_after_it() -> None:
    ring = Ring(10_000, 10**6)
    filled(ring, 0, 3)
    reader = RingReader(ring, 0)
    first = reader.read()
    assert numbers(first) == [0, 1]
    assert first is not None
    assert first.next_dts_ms == 200
    assert reader.read() is None
    filled(ring, 3, 4)
    assert numbers(reader.read()) == [2]


def test_a_reading_is_bounded() -> None:
    ring = Ring(10_000, 10**9)
    filled(ring, 0, 21, size=MOST_READ_BYTES // 3 + 1)
    reader = RingReader(ring, 5_000)
    got = []
    while (reading := reader.read()) is not None:
        assert len(reading.units) <= 2
        got += numbers(reading)
    assert got == list(range(20))
    ring.append(unit(21, size=5 * MOST_READ_BYTES))
    filled(ring, 22, 23)
    assert numbers(reader.read()) == [20]
    assert numbers(reader.read()) == [21]


def test_who_is_slow_goes_on_at_the_newest_keyframe() -> None:
    ring = Ring(60_000, 10**9)
    filled(ring, 0, 5)
    reader = RingReader(ring, 0)
    assert numbers(reader.read()) == [0, 1, 2, 3]
    filled(ring, 5, 10 + MOST_BEHIND_MS // 100 + 5)
    late = reader.read()
    assert late is not None
    assert late.gap
    assert numbers(late)[0] == 50


def test_who_falls_out_of_the_ring_goes_on_too() -> None:
    ring = Ring(1_000, 10**9)
    filled(ring, 0, 5)
    reader = RingReader(ring, 0)
    reader.read()
    filled(ring, 5, 95)
    late = reader.read()
    assert late is not None
    assert late.gap
    assert numbers(late)[0] == 90


@given(
    st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.integers(1, 80)), min_size=1, max_size=60),
    st.integers(0, 3_000),
    st.integers(500, 5_000),
)
def test_readings_follow_one_another_or_say_that_they_do_not(
    rounds: list[tuple[int, bool, int]], back_ms: int, ring_ms: int
) -> None:
    ring, number, expected = Ring(ring_ms, 2_000), 0, None
    reader = RingReader(ring, back_ms)
    for count, reads, size in rounds:
        filled(ring, number, number + count, size)
        number += count
        while reads and (reading := reader.read()) is not None:
            got = numbers(reading)
            assert got == list(range(got[0], got[-1] + 1))
            assert reading.next_dts_ms == (got[-1] + 1) * 100
            if reading.gap or expected is None:
                assert reading.units[0].keyframe
            else:
                assert got[0] == expected
            expected = got[-1] + 1
    if rounds[-1][1] and len(ring.newest_gop()) > 1:  # else the newest keyframe waits for the next unit
        assert expected in (number - 1, None)
