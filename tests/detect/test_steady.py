"""Steadying removes the camera's own motion and keeps motion in the scene. A still camera changes nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.detect.focus import motion_map
from edge.detect.steady import steady


def scene(height: int, width: int, seed: int = 5) -> NDArray[np.uint8]:
    """A random landscape: a sum of waves, so that neighbouring pixels are alike."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    total = np.zeros((height, width))
    for _ in range(24):
        a, b, phase = random.uniform(-0.25, 0.25), random.uniform(-0.25, 0.25), random.uniform(0, 7)
        total += np.sin(a * rows + b * columns + phase)
    return np.clip(total * 16 + 128, 1, 255).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(dy=st.integers(-10, 10), dx=st.integers(-10, 10))
def test_a_pan_is_taken_out_exactly(dy: int, dx: int) -> None:
    wide = scene(330, 540)
    pictures = np.stack(
        [wide[25 + k * dy : 25 + k * dy + 280, 25 + k * dx : 25 + k * dx + 490] for k in (-1, 0, 1)]
    )
    steadied = steady(pictures)
    np.testing.assert_array_equal(steadied[0], steadied[1])
    np.testing.assert_array_equal(steadied[2], steadied[1])
    assert steadied.shape == (3, 280 - 2 * abs(dy), 490 - 2 * abs(dx))


def test_what_moves_against_the_pan_remains() -> None:
    wide = scene(330, 540)
    pictures = np.stack([wide[25:305, 25 + 7 * k : 515 + 7 * k] for k in (-1, 0, 1)])
    for step in range(3):
        pictures[step, 100:160, 200 - 9 * step : 230 - 9 * step] = 250
    motion = motion_map(steady(pictures))
    y, x = np.unravel_index(int(np.argmax(motion)), motion.shape)
    assert 11 <= y <= 20
    assert 20 <= x <= 30
    assert (motion > 0).mean() < 0.1


def test_a_still_camera_gives_the_frames_themselves() -> None:
    pictures = np.stack([scene(280, 498)] * 3)
    pictures[1, 50:130, 60:100] = 20
    pictures[2, 50:130, 90:130] = 20
    assert steady(pictures) is pictures


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 160), width=st.integers(1, 160), seed=st.integers(0, 9))
def test_any_frame_is_survived(height: int, width: int, seed: int) -> None:
    pictures = np.random.default_rng(seed).integers(1, 256, (3, height, width), dtype=np.uint8)
    steadied = steady(pictures)
    assert steadied.ndim == 3
    assert 0 < steadied.shape[1] <= height
    assert 0 < steadied.shape[2] <= width
