"""Letterbox and pillarbox: finds the frame inside a plain border. Pure.

A border changes the hash of the whole frame. The hash of the rectangle inside still matches. Most frames
have no plain edge, and the search ends after four lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

PLAIN_LEVELS = 14
"""Luma levels by which a border pixel may differ from the border's colour: compression noise."""
STRAY = 0.05
"""Share of a border line's pixels that may differ by more."""
STRAY_OVERLAY = 0.22
"""The same where an overlay may reach into the border. Dark frames then lose more than their border."""
MIN_BORDER = 0.012
"""Least border, as a share of a side, that is worth a second hash."""
MIN_INSIDE = 0.2
"""Least size of the frame inside, as a share of a side."""
_SAMPLES = 192


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, luma: U8) -> U8:
        """Returns this part of a frame as a view."""
        return luma[self.top : self.bottom, self.left : self.right]


def inside_border(luma: U8, stray: float = STRAY) -> Rectangle | None:
    """Returns the frame inside a plain border of a luma plane ``(h, w)``, or None without a border.

    ``stray`` is the share of a border line's pixels that may have another colour.
    """
    height, width = luma.shape
    if min(height, width) < 16:
        return None
    columns = luma[:, :: max(1, width // _SAMPLES)]
    top = _plain_lines(columns, stray)
    bottom = height - _plain_lines(columns[::-1], stray)
    if bottom - top < height * MIN_INSIDE:
        return None
    rows = luma[top : bottom : max(1, (bottom - top) // _SAMPLES)].T
    left = _plain_lines(rows, stray)
    right = width - _plain_lines(rows[::-1], stray)
    if right - left < width * MIN_INSIDE:
        return None
    if height - (bottom - top) < height * MIN_BORDER:
        top, bottom = 0, height
    if width - (right - left) < width * MIN_BORDER:
        left, right = 0, width
    if (bottom - top, right - left) == (height, width):
        return None
    return Rectangle(top, bottom, left, right)


def _plain_lines(lines: U8, stray: float) -> int:
    """How many lines from the first on have the first one's colour throughout."""
    colour = _median(lines[0])
    if not _plain(lines[:1], colour, stray)[0]:
        return 0
    step = max(1, len(lines) // _SAMPLES)
    coarse = _plain(lines[::step], colour, stray)
    if coarse.all():
        return len(lines)
    last = int(coarse.argmin()) * step
    fine = _plain(lines[last - step + 1 : last + 1], colour, stray)
    return last - step + 1 + int(fine.argmin())


def _median(values: U8) -> int:
    """``int(np.median(values))`` in a tenth of its time."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    sorted_there = np.partition(values, (low, high))
    return (int(sorted_there[low]) + int(sorted_there[high])) // 2


def _plain(lines: U8, colour: int, stray: float) -> npt.NDArray[np.bool_]:
    low, high = max(0, colour - PLAIN_LEVELS), min(255, colour + PLAIN_LEVELS)
    strays = ((lines < low) | (lines > high)).sum(axis=1)
    return np.asarray(strays <= lines.shape[1] * stray)
