"""Insets are found by their straight edges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.match.evasion.letterbox import Rectangle
from edge.match.evasion.picture_in_picture import MAX_PANELS, panels

U8 = npt.NDArray[np.uint8]


def smooth(seed: int, height: int, width: int, low: int, high: int) -> U8:
    """A frame without straight edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    total = sum(
        np.sin(rng.uniform(-9, 9) * y / height + rng.uniform(-9, 9) * x / width + i) for i in range(5)
    )
    return np.asarray(low + (total + 5) / 10 * (high - low), np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.tuples(st.floats(0.3, 0.8), st.floats(0.3, 0.8)),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_panel_is_found_to_the_pixel(
    seed: int, size: tuple[float, float], place: tuple[float, float]
) -> None:
    frame = smooth(seed, 360, 640, 20, 90)
    height, width = round(360 * size[0]), round(640 * size[1])
    # Flush with a side of the frame, or well away from it.
    top = round((360 - height) * place[0])
    left = round((640 - width) * place[1])
    top = 0 if top < 8 else min(top, 360 - height - 8) if top < 360 - height else top
    left = 0 if left < 8 else min(left, 640 - width - 8) if left < 640 - width else left
    panel = Rectangle(top, top + height, left, left + width)
    panel.of(frame)[:] = smooth(seed + 1, height, width, 120, 230)
    assert panel in panels(frame)


def test_ordinary_frames_have_no_panels_and_strange_ones_few() -> None:
    assert panels(smooth(1, 360, 640, 0, 255)) == ()
    assert panels(np.zeros((20, 20), np.uint8)) == ()
    noise = np.random.default_rng(1).integers(0, 256, (360, 640), dtype=np.uint8)
    assert len(panels(noise)) <= MAX_PANELS
    grid = np.zeros((360, 640), np.uint8)
    grid[::40] = grid[:, ::40] = 255
    assert len(panels(grid)) <= MAX_PANELS
