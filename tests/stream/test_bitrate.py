"""Motion detected from the sizes of units that are not decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from edge.policy import Policy, TierPolicy
from edge.stream.bitrate import MIN_FRAME_BYTES, MIN_UNIT_BYTES, SETTLE_MS, BitrateJump
from edge.stream.synthetic import encode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tests.stream.conftest import Watch


def jumps(sizes: list[int], ratio: float = 2.5, step_ms: int = 33) -> list[int]:
    state = BitrateJump()
    return [i for i, size in enumerate(sizes) if state.add_unit(i * step_ms, size, ratio)]


def test_a_lasting_rise_is_told_once_and_soon() -> None:
    assert jumps([1000] * 150 + [3000] * 150) == [150]
    assert jumps(([1000] * 9 + [2000]) * 15 + [3000] * 150) == [154], "no unit stands out, and all are larger"


def test_a_new_frame_is_told_at_its_first_unit() -> None:
    assert jumps([1000] * 150 + [20_000] + [1000] * 150) == [150]
    assert jumps([100] * 150 + [2 * MIN_FRAME_BYTES] + [100] * 150) == [], "too small for a frame"


def test_single_large_units_are_no_motion() -> None:
    assert jumps([1000, 1000, 1000, 20_000] * 100) == []


def test_a_slow_rise_is_what_the_stream_is_like() -> None:
    assert jumps([1000 + 10 * i for i in range(600)]) == []


def test_nothing_is_told_before_it_has_settled() -> None:
    assert jumps([300] * 30 + [3000] * 20) == []


def test_a_frame_that_stands_still_does_not_jump_at_rounding() -> None:
    assert jumps([20] * 300 + [MIN_UNIT_BYTES * 2] * 100) == []


def test_what_comes_back_jumps_again() -> None:
    sizes = ([1000] * 300 + [4000] * 30) * 3
    assert len(jumps(sizes)) == 3


@given(st.lists(st.integers(0, 100_000), max_size=400), st.floats(1.5, 10), st.integers(0, 200))
def test_jumps_are_rare_after_settling(sizes: list[int], ratio: float, step_ms: int) -> None:
    found = jumps(sizes, ratio, step_ms)
    assert all(i * step_ms >= SETTLE_MS for i in found)
    # Each jump raises the usual size. Only a fall makes room for another jump.
    assert len(found) <= len(sizes) // 2


def test_motion_in_mid_gop_is_looked_at_before_the_next_keyframe(watch: Watch) -> None:
    import numpy as np

    noise = np.random.default_rng(1)

    def picture(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        if index < 160:
            return np.full((height, width), 90, dtype=np.uint8) + np.uint8(index % 2)
        return noise.integers(0, 255, (height, width), dtype=np.uint8)

    media = encode(frames=240, gop=120, picture=picture, options={"tune": "zerolatency", "crf": "30"})
    seen = {}
    for ratio in (0.0, 2.5):
        tiers = TierPolicy(start_alert_ms=0, blind_limit_ms=6000, bitrate_jump=ratio)
        watched = watch(media, Policy(tiers=tiers)).feed(media.units)
        seen[ratio] = watched.times
        assert watched.pipeline.counters.bitrate_jumps == (1 if ratio else 0)
    onset_ms = media.units[160].pts_ms
    assert [t for t in seen[0.0] if t > onset_ms] == []
    assert any(onset_ms < t <= onset_ms + 700 for t in seen[2.5])
