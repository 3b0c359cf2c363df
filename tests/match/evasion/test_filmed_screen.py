"""Detection of filmed screens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.match import PdqHasher
from edge.match.evasion.filmed_screen import POINTS, Corners, points_of, quads
from edge.match.evasion.homography import homography
from edge.match.pdq.hasher import distance

U8 = npt.NDArray[np.uint8]
WALL, BEZEL = 90, 20

SLANTED: dict[str, Corners] = {
    "from the right": ((0.12, 0.1), (0.85, 0.2), (0.86, 0.8), (0.1, 0.9)),
    "from the left and below": ((0.2, 0.25), (0.9, 0.12), (0.88, 0.93), (0.17, 0.75)),
    "turned to the left": ((0.08, 0.2), (0.86, 0.07), (0.92, 0.79), (0.14, 0.92)),
    "turned to the right, far away": ((0.32, 0.2), (0.8, 0.31), (0.74, 0.8), (0.25, 0.7)),
}


def picture(seed: int, height: int = 360, width: int = 640) -> U8:
    """Random overlapping rectangles. Their edges fill all of PDQ's frequencies, as real frames do."""
    rng = np.random.default_rng(seed)
    total = np.full((height, width), 130, np.uint8)
    for size in (0.6, 0.5, *[0.35] * 10, *[0.15] * 30):
        top, left = rng.uniform(-size / 2, 1 - size / 2, 2)
        down, across = rng.uniform(size / 2, size, 2)
        rows = slice(max(0, round(top * height)), max(0, round((top + down) * height)))
        columns = slice(max(0, round(left * width)), max(0, round((left + across) * width)))
        total[rows, columns] = rng.integers(50, 235)
    return total


def filmed(shown: U8, corners: Corners, height: int = 720, width: int = 1280, *, seed: int = 0) -> U8:
    """A frame on a screen with a dark bezel before a wall, with sensor noise."""
    a, b, c, d, e, f, g, h = homography(corners)
    to_frame = np.array([[a, b, c], [d, e, f], [g, h, 1]])
    y, x = np.mgrid[0:height, 0:width]
    u, v, w = np.tensordot(
        np.linalg.inv(to_frame), np.stack(((x + 0.5) / width, (y + 0.5) / height, np.ones_like(x))), 1
    )
    u, v = u / w, v / w
    frame = np.full((height, width), WALL, np.float64)
    frame[(u > -0.04) & (u < 1.04) & (v > -0.04) & (v < 1.04)] = BEZEL
    on = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    frame[on] = shown[(v[on] * shown.shape[0]).astype(int), (u[on] * shown.shape[1]).astype(int)]
    noise = np.random.default_rng(seed).normal(0, 6, frame.shape)
    return np.asarray(np.clip(frame + noise, 0, 255), np.uint8)


def averaged(corners: Corners, frames: int = 5) -> npt.NDArray[np.float32]:
    total = sum(points_of(filmed(picture(n), corners, seed=n)).astype(np.float32) for n in range(frames))
    return np.asarray(total / frames, np.float32)


@pytest.mark.parametrize("corners", SLANTED.values(), ids=SLANTED)
def test_the_corners_of_a_screen_are_found(corners: Corners) -> None:
    first, *_ = quads(averaged(corners))
    assert np.abs(np.array(first.corners) - np.array(corners)).max() < 0.01


@pytest.mark.parametrize("corners", SLANTED.values(), ids=SLANTED)
def test_what_is_on_it_has_its_own_hash_again(corners: Corners) -> None:
    shown = picture(100)
    frame = filmed(shown, corners, seed=9)
    first, *_ = quads(averaged(corners))
    hasher = PdqHasher()
    known = hasher.hash(shown).bits
    assert distance(hasher.hash(frame).bits, known) > 60
    assert distance(hasher.hash(first.flat(frame)).bits, known) <= 24


def test_a_screen_may_reach_beyond_the_frame() -> None:
    corners = ((0.1, 0.12), (1.04, 0.08), (1.05, 0.95), (0.06, 0.9))
    first, *_ = quads(averaged(corners))
    assert first.corners[0] == pytest.approx(corners[0], abs=0.02)
    assert first.corners[3] == pytest.approx(corners[3], abs=0.02)
    assert first.corners[1][0] == first.corners[2][0] == 1.0


def test_a_frame_without_a_screen_has_none() -> None:
    slope = np.add.outer(np.linspace(20, 120, POINTS), np.linspace(0, 100, POINTS))
    noisy = slope + np.random.default_rng(0).normal(0, 1, slope.shape)
    assert quads(noisy.astype(np.float32)) == ()
    assert quads(np.full((POINTS, POINTS), 128, np.float32)) == ()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), blocks=st.sampled_from([2, 4, 8, 16, 128]))
def test_whatever_the_frame_corners_stay_near_the_frame_and_in_their_order(seed: int, blocks: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.kron(rng.integers(0, 256, (blocks, blocks)), np.ones((POINTS // blocks, POINTS // blocks)))
    frame = np.asarray(points.repeat(2, 0), np.uint8)
    for quad in quads(points.astype(np.float32)):
        (tlx, tly), (trx, try_), (brx, bry), (blx, bly) = quad.corners
        assert min(trx, brx) - max(tlx, blx) > 0.1
        assert min(bly, bry) - max(tly, try_) > 0.1
        assert all(-0.2 < share < 1.2 for corner in quad.corners for share in corner)
        assert quad.flat(frame).dtype == np.uint8


def test_a_quad_follows_another_size_of_the_frame() -> None:
    (first, *_), shown = quads(averaged(SLANTED["from the right"])), picture(100)
    hasher = PdqHasher()
    large = hasher.hash(first.flat(filmed(shown, SLANTED["from the right"]))).bits
    small = hasher.hash(first.flat(filmed(shown, SLANTED["from the right"], 360, 640))).bits
    assert distance(large, small) <= 16
