"""The ring starts at a keyframe and keeps both of its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import AccessUnit
from edge.stream import Ring


def unit(dts_ms: int, keyframe: bool, size: int = 10) -> AccessUnit:
    return AccessUnit(dts_ms, dts_ms, keyframe, bytes(size), 0.0)


def test_nothing_is_kept_before_a_keyframe() -> None:
    ring = Ring(1000, 1000)
    ring.append(unit(0, False))
    assert ring.units() == ()


def test_whole_gops_go_when_the_rest_spans_the_time() -> None:
    ring = Ring(1000, 10_000)
    for dts in range(0, 3001, 100):
        ring.append(unit(dts, dts % 500 == 0))
    assert ring.units()[0].dts_ms == 2000
    assert ring.units()[-1].dts_ms == 3000


def test_a_gop_longer_than_the_time_is_kept_while_its_bytes_fit() -> None:
    ring = Ring(1000, 10_000)
    for dts in range(0, 5001, 100):
        ring.append(unit(dts, dts == 0))
    assert len(ring) == 51
    assert ring.overflows == 0


def test_a_gop_over_the_bytes_is_dropped_until_the_next_keyframe() -> None:
    ring = Ring(1000, 25)
    for dts in range(0, 300, 100):
        ring.append(unit(dts, dts == 0))
    assert ring.units() == ()
    assert ring.overflows == 1
    ring.append(unit(300, False))
    assert ring.units() == ()
    ring.append(unit(400, True))
    assert [u.dts_ms for u in ring.units()] == [400]


@given(
    st.lists(st.tuples(st.integers(1, 300), st.booleans(), st.integers(0, 40)), max_size=150),
    st.integers(1, 2000),
    st.integers(1, 400),
)
def test_bounds_hold_after_every_unit(
    media: list[tuple[int, bool, int]], ring_ms: int, ring_bytes: int
) -> None:
    ring = Ring(ring_ms, ring_bytes)
    now = 0
    for step, keyframe, size in media:
        now += step
        ring.append(unit(now, keyframe, size))
        held = ring.units()
        assert ring.bytes == sum(len(u.data) for u in held) <= ring_bytes
        assert len(ring) == len(held)
        assert not held or held[0].keyframe
        keyframes = [u.dts_ms for u in held if u.keyframe]
        # Without the oldest GOP the rest would be shorter than requested.
        assert len(keyframes) < 2 or keyframes[1] > now - ring_ms
