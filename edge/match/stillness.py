"""Tells still frames from moving ones, by the mean brightness of 32 × 32 fields. Pure.

Measured: an encoder at a usual quality moves a field of a still frame by up to 3 of 256 levels, with noise
of a camera by up to 7, and at a poor quality (CRF 38) by up to 15. A few samples of a real clip, also of a
fixed camera, differ by more. A PDQ hash cannot tell: encoders move that of bars and other regular frames by
dozens of bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

SIDE = 32
LEVELS = 12.0
"""Two frames are the same if no field differs by more."""
KEPT = 16
"""Frames of a stream that are known again."""
WITHIN_MS = 1000
"""Time before and after a frame in which the frame must move."""
MOVING_PICTURES = 3
"""Different frames within that time that are motion. A change of slides shows two."""


def fields_of(luma: U8) -> F32:
    """Returns the mean brightness of the fields of a luma plane ``(h, w)``, float32 ``(32, 32)`` or less."""
    height, width = luma.shape
    rows = np.arange(min(SIDE, height)) * height // min(SIDE, height)
    columns = np.arange(min(SIDE, width)) * width // min(SIDE, width)
    sums = np.add.reduceat(np.add.reduceat(luma, rows, axis=0, dtype=np.uint32), columns, axis=1)
    areas = np.diff(rows, append=height)[:, None] * np.diff(columns, append=width)
    return np.asarray(sums / areas, np.float32)


def is_same(one: F32, other: F32) -> bool:
    """Whether two frames, given by their fields, are the same."""
    return one.shape == other.shape and bool(np.abs(one - other).max() <= LEVELS)


class Pictures:
    """Numbers the frames of one stream. The same frame has the same number."""

    def __init__(self) -> None:
        self._known: deque[tuple[int, F32]] = deque(maxlen=KEPT)
        self._next = 0

    def number_of(self, luma: U8) -> int:
        """Returns the number of a frame, uint8 ``(h, w)``."""
        fields = fields_of(luma)
        for number, known in reversed(self._known):
            if is_same(fields, known):
                return number
        self._known.append((self._next, fields))
        self._next += 1
        return self._next - 1


def still_times(times_ms: Sequence[int], fields: Sequence[F32]) -> tuple[int, ...]:
    """Returns the times of the frames at which the frame stands still. ``times_ms`` rises."""
    times = np.asarray(times_ms)
    first = np.searchsorted(times, times - WITHIN_MS)
    end = np.searchsorted(times, times + WITHIN_MS, side="right")
    return tuple(
        at
        for at, begin, stop in zip(times_ms, first, end, strict=True)
        if not _moves(fields[int(begin) : int(stop)])
    )


def _moves(fields: Sequence[F32]) -> bool:
    different: list[F32] = []
    for one in fields:
        if not any(is_same(one, other) for other in different):
            different.append(one)
            if len(different) == MOVING_PICTURES:
                return True
    return False
