"""Removes the camera's motion from three frames before they are differenced.

Under a hand-held camera the whole difference image lights up. Row and column profiles give the shift
between two frames at a fraction of the cost of a two-dimensional correlation (projection matching,
Alliney & Morandi 1986). The frames are then cut to their common part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = 24
"""Largest shift between two frames that is searched, in pixels in each direction."""
GAIN = 0.85
"""A shift is accepted when it leaves at most this share of the mean absolute difference."""
STRIDE = 4
"""The check of a shift compares every fourth pixel of every fourth row."""


def steady(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Aligns three frames, uint8 ``(3, h, w)`` → ``(3, h', w')``.

    The first and last are shifted onto the middle one by whole pixels. All are cut to their common part.
    Under a still camera the frames are returned unchanged.
    """
    _, height, width = pictures.shape
    if min(height, width) <= 4 * REACH:
        return pictures
    profiles = [(_profile(picture, 1), _profile(picture, 0)) for picture in pictures]
    shifts = [
        _accepted(pictures[index], pictures[1], _shift(profiles[index], profiles[1])) for index in (0, 2)
    ]
    if shifts == [(0, 0), (0, 0)]:
        return pictures
    offsets = [shifts[0], (0, 0), shifts[1]]
    top = max(0, *(-y for y, _ in offsets))
    left = max(0, *(-x for _, x in offsets))
    bottom = height - max(0, *(y for y, _ in offsets))
    right = width - max(0, *(x for _, x in offsets))
    return np.stack(
        [
            picture[top + y : bottom + y, left + x : right + x]
            for picture, (y, x) in zip(pictures, offsets, strict=True)
        ]
    )


def _profile(picture: NDArray[np.uint8], axis: int) -> NDArray[np.float32]:
    """Returns the steps between the means of rows (``axis`` 1) or columns (0). A change of light keeps
    them."""
    sums = picture.sum(axis=axis, dtype=np.uint32)
    return np.diff(sums.astype(np.float32) / picture.shape[axis])


def _shift(
    moved: tuple[NDArray[np.float32], NDArray[np.float32]],
    still: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> tuple[int, int]:
    """Returns the rows and columns by which ``moved`` lies further down and right than ``still``."""
    return _best_lag(moved[0], still[0]), _best_lag(moved[1], still[1])


def _best_lag(moved: NDArray[np.float32], still: NDArray[np.float32]) -> int:
    """Returns the lag with the least mean absolute difference. 0 wins a tie."""
    inner = still[REACH : len(still) - REACH]
    windows = np.lib.stride_tricks.sliding_window_view(moved, len(inner))
    cost = np.abs(windows - inner).mean(axis=1)
    lag = int(np.argmin(cost))
    return 0 if cost[lag] >= cost[REACH] else lag - REACH


def _accepted(moved: NDArray[np.uint8], still: NDArray[np.uint8], shift: tuple[int, int]) -> tuple[int, int]:
    """Returns the shift or a neighbour of it, whichever explains the difference best. No shift if none does.

    A shift across rows brings new content into view, which blurs the column profile by a pixel. The reverse
    holds for columns.
    """
    if shift == (0, 0):
        return shift
    inner = still[REACH:-REACH:STRIDE, REACH:-REACH:STRIDE]
    height, width = still.shape

    def difference(y: int, x: int) -> float:
        there = moved[REACH + y : height - REACH + y : STRIDE, REACH + x : width - REACH + x : STRIDE]
        return float((np.maximum(there, inner) - np.minimum(there, inner)).mean())

    near = [
        (y, x)
        for y in range(max(shift[0] - 1, -REACH), min(shift[0] + 1, REACH) + 1)
        for x in range(max(shift[1] - 1, -REACH), min(shift[1] + 1, REACH) + 1)
    ]
    costs = [difference(y, x) for y, x in near]
    least = int(np.argmin(costs))
    return near[least] if costs[least] <= GAIN * difference(0, 0) else (0, 0)
