"""Letterbox and pillarbox: the rectangle inside a plain frame.

A re-broadcast in a frame of one colour has a hash of its own; that of the rectangle inside is the
known one. Pure; most pictures have no plain edge, and are done with after looking at four lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

PLAIN_LEVELS = 14
"""Luma levels by which a pixel of the frame may differ from its colour: what compression leaves."""
STRAY = 0.08
"""Share of a line's pixels that may differ by more: a logo may reach into the frame."""
MIN_BORDER = 0.012
"""Share of a side under which a border is not worth a second hash."""
MIN_INSIDE = 0.2
"""Share of a side that the picture inside has at least."""
_SAMPLES = 192


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a picture, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, luma: U8) -> U8:
        """That part of a picture, as a view."""
        return luma[self.top : self.bottom, self.left : self.right]


def inside_border(luma: U8) -> Rectangle | None:
    """The picture inside a plain frame of a luma plane ``(h, w)``; None when there is no such frame."""
    height, width = luma.shape
    if min(height, width) < 16:
        return None
    columns = luma[:, :: max(1, width // _SAMPLES)]
    top = _plain_lines(columns)
    bottom = height - _plain_lines(columns[::-1])
    if bottom - top < height * MIN_INSIDE:
        return None
    rows = luma[top : bottom : max(1, (bottom - top) // _SAMPLES)].T
    left = _plain_lines(rows)
    right = width - _plain_lines(rows[::-1])
    if right - left < width * MIN_INSIDE:
        return None
    if height - (bottom - top) < height * MIN_BORDER:
        top, bottom = 0, height
    if width - (right - left) < width * MIN_BORDER:
        left, right = 0, width
    if (bottom - top, right - left) == (height, width):
        return None
    return Rectangle(top, bottom, left, right)


def _plain_lines(lines: U8) -> int:
    """How many lines from the first on have the first one's colour throughout."""
    colour = int(np.median(lines[0]))
    if not _plain(lines[:1], colour)[0]:
        return 0
    step = max(1, len(lines) // _SAMPLES)
    coarse = _plain(lines[::step], colour)
    if coarse.all():
        return len(lines)
    last = int(coarse.argmin()) * step
    fine = _plain(lines[last - step + 1 : last + 1], colour)
    return last - step + 1 + int(fine.argmin())


def _plain(lines: U8, colour: int) -> npt.NDArray[np.bool_]:
    low, high = max(0, colour - PLAIN_LEVELS), min(255, colour + PLAIN_LEVELS)
    strays = ((lines < low) | (lines > high)).sum(axis=1)
    return np.asarray(strays <= lines.shape[1] * STRAY)
