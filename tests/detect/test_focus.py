"""The crop covers the most motion, lies inside the frame and copies its pixels."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect import PlaneScaler
from edge.detect.focus import densest, focus, motion_map
from edge.detect.plane import frame_size


def textured(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(60, 190, (height, width), dtype=np.uint8)


def test_crop_is_around_what_moves() -> None:
    pictures = np.stack([textured(280, 498)] * 3)
    for step in range(3):
        pictures[step, 200:240, 400 + 9 * step : 420 + 9 * step] = 255 * (step % 2)
    rows, columns = densest(motion_map(pictures), 28)
    assert rows * 8 <= 200
    assert rows * 8 + 224 >= 240
    assert columns * 8 <= 400
    assert columns * 8 + 224 >= 438
    cut = focus(pictures, 224)
    top, left = min(rows * 8, 280 - 224), min(columns * 8, 498 - 224)
    np.testing.assert_array_equal(cut, pictures[:, top : top + 224, left : left + 224])


def test_a_flash_of_the_whole_frame_is_no_place() -> None:
    """If all blocks change alike, nothing stands out, and the crop is the centre."""
    pictures = np.stack([np.full((280, 498), level, dtype=np.uint8) for level in (10, 200, 60)])
    assert not motion_map(pictures).any()
    assert densest(motion_map(pictures), 28) == (3, 17)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    size=st.sampled_from([32, 64, 224]),
    seed=st.integers(0, 5),
)
def test_any_frame_gives_a_crop(height: int, width: int, size: int, seed: int) -> None:
    pictures = np.random.default_rng(seed).integers(1, 256, (3, height, width), dtype=np.uint8)
    cut = focus(pictures, size)
    assert cut.shape == (3, size, size)
    assert cut.flags.c_contiguous
    assert (cut[0] > 0).sum() == min(height, size) * min(width, size)


@given(seed=st.integers(0, 50), side=st.integers(1, 12))
def test_densest_by_trying_every_place(seed: int, side: int) -> None:
    motion = np.random.default_rng(seed).random((9, 14)).astype(np.float32)
    high, wide = min(side, 9), min(side, 14)
    y, x = densest(motion, side)
    best = max(
        motion[row : row + high, column : column + wide].sum(dtype=np.float64)
        for row in range(9 - high + 1)
        for column in range(14 - wide + 1)
    )
    assert motion[y : y + high, x : x + wide].sum(dtype=np.float64) == pytest.approx(best)


@pytest.mark.parametrize(
    ("height", "width", "wanted"),
    [
        (360, 640, (280, 498)),
        (640, 360, (498, 280)),
        (480, 640, (280, 373)),
        (200, 800, (128, 512)),
        (64, 64, (280, 280)),
    ],
)
def test_frame_keeps_its_aspect(height: int, width: int, wanted: tuple[int, int]) -> None:
    black = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), dtype=np.uint8), format="rgb24")
    scaler = PlaneScaler(512, 512, 280)
    plane = scaler.plane(black.reformat(format="yuv420p"))
    assert plane.shape == (512, 512)
    assert frame_size(plane) == wanted
    assert scaler.picture(black).shape == wanted
    assert not plane[wanted[0] :].any()
    assert not plane[:, wanted[1] :].any()
