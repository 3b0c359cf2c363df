"""Crops the frame to the part with the most motion.

In a wide shot a fight is only a few pixels of the whole frame. So the network sees a crop at a resolution
that shows people. The crop lies where the motion of the three planes is densest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 8
"""Side in pixels of the blocks over which motion is summed. Crops start at block edges."""
NOISE = 1.0
"""Mean change, in grey levels above the frame's median, that counts as none: compression and grain."""
CAP = 30.0
"""Mean change in grey levels at which a block's motion is capped. One flash must not outweigh a crowd."""


def focus(pictures: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Returns the crop ``(3, size, size)`` of uint8 frames ``(3, h, w)`` with the densest motion.

    A frame smaller than the crop is padded at its end with zeros, which do not move. Without any motion
    the crop is the centre.
    """
    _, height, width = pictures.shape
    if height < size or width < size:
        pictures = np.pad(pictures, ((0, 0), (0, max(0, size - height)), (0, max(0, size - width))))
        _, height, width = pictures.shape
    y, x = densest(motion_map(pictures), size // BLOCK)
    top, left = min(y * BLOCK, height - size), min(x * BLOCK, width - size)
    return np.ascontiguousarray(pictures[:, top : top + size, left : left + size])


def motion_map(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns each block's mean absolute change minus the median of all blocks, float32 ``(h // 8, w // 8)``.

    A moving camera changes every block. Subtracting the median leaves only the motion against it.
    """
    before, now, after = pictures
    change = _distance(before, now) + _distance(before, after) + _distance(now, after)
    rows, columns = change.shape[0] // BLOCK, change.shape[1] // BLOCK
    change = change[: rows * BLOCK, : columns * BLOCK]
    by_row = change.reshape(rows, BLOCK, columns * BLOCK).sum(axis=1, dtype=np.uint16)
    blocks = by_row.reshape(rows, columns, BLOCK).sum(axis=2, dtype=np.uint32)
    mean = blocks.astype(np.float32) / (3 * BLOCK * BLOCK)
    motion: NDArray[np.float32] = np.clip(mean - np.median(mean) - NOISE, 0.0, CAP).astype(np.float32)
    return motion


def densest(motion: NDArray[np.float32], side: int) -> tuple[int, int]:
    """Returns row and column of the ``side`` × ``side`` square with the largest sum. The centre if all is
    0."""
    rows, columns = max(motion.shape[0] - side, 0), max(motion.shape[1] - side, 0)
    if not motion.any():
        return rows // 2, columns // 2
    table = np.zeros((motion.shape[0] + 1, motion.shape[1] + 1), dtype=np.float64)
    table[1:, 1:] = motion.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    side_y, side_x = min(side, motion.shape[0]), min(side, motion.shape[1])
    sums = table[side_y:, side_x:] - table[:-side_y, side_x:] - table[side_y:, :-side_x]
    sums += table[:-side_y, :-side_x]
    y, x = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(y), int(x)


def _distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return (np.maximum(one, other) - np.minimum(one, other)).astype(np.uint16)
