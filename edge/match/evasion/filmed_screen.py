"""Finds a filmed screen in the frame and flattens it, so that its content can be hashed. Pure.

A known video that is filmed at a slant matches no known hash. The screen itself stands still, and it is
brighter than its bezel. Averaged over a second its four sides become straight lines, even where the content
is dark. Given the four corners each frame is warped to a front view and hashed. The search is expensive. It
runs on a coarse average of several frames, seldom, and only in streams that show nothing known.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from edge.match.evasion.homography import homography

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating]
Corners = tuple[tuple[float, float], ...]

MIN_SPAN = 0.4
"""Least width and height of a screen, as a share of the frame's."""
MIN_SUPPORT = 0.7
"""Least share of each side that shows a brightness step."""
FRAME_SUPPORT = 0.72
"""Support of a side that coincides with the frame's. At most two sides of a screen may."""
MAX_QUADS = 2
FLAT_HEIGHT, FLAT_WIDTH = 256, 448

GRID = 64
POINTS = 2 * GRID
_STEP_LEVELS = 4.0
_FULL_LEVELS = 16.0
_SLOPES = np.linspace(-0.375, 0.375, 21)
_MARGIN = 12
_LINES = 4
_ALONG = 20
_APART = 2.0
_STRAYED = 8.0
_MIDDLE = (GRID - 1) / 2
_ENDS = ((0, 3), (1, 2), (0, 1), (3, 2))
"""Indices of the two corners that end the left, right, top and bottom side."""


class Quad:
    """One screen in a frame, as four corners."""

    def __init__(self, corners: Corners) -> None:
        self.corners = corners
        """Shares of width and height, clockwise from the top left."""
        self._shape: tuple[int, ...] = ()
        self._places = np.empty(0, np.int32)

    def __repr__(self) -> str:
        return f"Quad({', '.join(f'({x:.3f}, {y:.3f})' for x, y in self.corners)})"

    def flat(self, luma: U8) -> U8:
        """Returns the screen's content in front view, uint8 ``(256, 448)``, from a luma plane ``(h, w)``."""
        if luma.shape != self._shape:
            # Many frames follow with the same shape. Reuse takes a fifth of the time.
            self._shape, self._places = luma.shape, _places(self.corners, *luma.shape)
        return luma.take(self._places)


def _places(corners: Corners, height: int, width: int) -> npt.NDArray[np.int32]:
    a, b, c, d, e, f, g, h = homography(corners)
    u = ((np.arange(FLAT_WIDTH) + 0.5) / FLAT_WIDTH)[None]
    v = ((np.arange(FLAT_HEIGHT) + 0.5) / FLAT_HEIGHT)[:, None]
    depth = g * u + h * v + 1
    column = np.clip((a * u + b * v + c) / depth * width, 0, width - 1).astype(np.int32)
    row = np.clip((d * u + e * v + f) / depth * height, 0, height - 1).astype(np.int32)
    return np.asarray(row * np.int32(width) + column, np.int32)


def points_of(luma: U8) -> U8:
    """Samples a luma plane ``(h, w)`` on an even grid. Returns uint8 ``(128, 128)``."""
    height, width = luma.shape
    rows = (np.arange(POINTS) * height + height // 2) // POINTS
    columns = (np.arange(POINTS) * width + width // 2) // POINTS
    return np.asarray(luma.take(rows, axis=0).take(columns, axis=1))


def quads(points: F32) -> tuple[Quad, ...]:
    """Finds at most two bright quadrangles in averaged points, float32 ``(128, 128)``. The likeliest comes
    first."""
    grid = points.reshape(GRID, 2, GRID, 2).mean(axis=(1, 3))
    across, down = np.zeros_like(grid), np.zeros_like(grid)
    across[:, 1:-1] = grid[:, 2:] - grid[:, :-2]
    down[1:-1] = grid[2:] - grid[:-2]
    # Steps towards the brighter inside, seen from the left, right, top and bottom. Axis 0 runs along the
    # side.
    rises = tuple(np.ascontiguousarray(s) for s in (across, -across, down.T, -down.T))
    steps = [
        np.clip((s - _STEP_LEVELS) / (_FULL_LEVELS - _STEP_LEVELS), 0, 1).astype(np.float32) for s in rises
    ]
    # The screen may reach beyond the frame, so the frame's sides are candidates too. They come last.
    lines = [
        np.vstack((_lines(step), np.array([[end, 0.0]], np.float32)))
        for step, end in zip(steps, (-0.5, GRID - 0.5, -0.5, GRID - 0.5), strict=True)
    ]
    pick = np.stack(np.meshgrid(*(np.arange(len(side)) for side in lines), indexing="ij"), -1).reshape(-1, 4)
    own = pick == np.array([len(side) - 1 for side in lines])
    left, right, top, bottom = (side[pick[:, n]] for n, side in enumerate(lines))
    corners = _corners(left, right, top, bottom)
    span = np.minimum(corners[:, 1, 0] - corners[:, 0, 0], corners[:, 2, 0] - corners[:, 3, 0])
    rise = np.minimum(corners[:, 3, 1] - corners[:, 0, 1], corners[:, 2, 1] - corners[:, 1, 1])
    good = (corners > -2).all(axis=(1, 2)) & (corners < GRID + 1).all(axis=(1, 2)) & (own.sum(axis=1) <= 2)
    good &= (span >= MIN_SPAN * GRID) & (rise >= MIN_SPAN * GRID)
    corners, own, area = corners[good], own[good], span[good] * rise[good] / GRID**2
    support = np.where(own, FRAME_SUPPORT, _support(corners, steps))
    least = support.min(axis=1, initial=1)
    score = np.where(least < MIN_SUPPORT, 0, least + support.mean(axis=1) + 0.5 * area)
    finer = _smooth(points)
    fine = (finer, -finer, _smooth(points.T), -_smooth(points.T))
    found: list[F32] = []
    for place in np.argsort(-score, kind="stable")[: 4 * MAX_QUADS].tolist():
        if score[place] <= 0 or len(found) == MAX_QUADS:
            break
        near = 2 * corners[place] + 0.5
        refined = _refined(near, own[place], fine)
        # A refined corner far from the coarse one means that there was no line.
        strayed = not np.abs(refined - near).max() <= _STRAYED
        if not strayed and all(np.abs(refined - other).max() > _APART for other in found):
            found.append(refined)
    shares = ((one + 0.5) / POINTS for one in found)
    return tuple(Quad(tuple((float(x), float(y)) for x, y in one)) for one in shares)


@cache
def _slanted() -> npt.NDArray[np.intp]:
    """Flat indices of slanted lines in a grid with a margin, ``(slopes, 64, 64)``: slope, along, place."""
    y = np.arange(GRID)
    shift = np.rint(_SLOPES[:, None] * (y - _MIDDLE)).astype(np.intp) + _MARGIN
    return (y * (GRID + 2 * _MARGIN) + shift)[:, :, None] + np.arange(GRID)


def _lines(step: F32) -> F32:
    """Finds at most four nearly upright lines with the most steps. Returns middle and slope, ``(n, 2)``."""
    wide = np.pad(step, ((0, 0), (_MARGIN, _MARGIN)))
    votes = wide.take(_slanted()).sum(axis=1)
    found: list[tuple[float, float]] = []
    while len(found) < _LINES:
        slope, place = divmod(int(votes.argmax()), GRID)
        if votes[slope, place] < MIN_SPAN * MIN_SUPPORT * GRID:
            break
        found.append((place, _SLOPES[slope]))
        # Drops the same line, slightly shifted or turned.
        votes[max(0, slope - 3) : slope + 4, max(0, place - 2) : place + 3] = 0
    return np.array(found, np.float32).reshape(-1, 2)


def _corners(left: F32, right: F32, top: F32, bottom: F32, middle: float = _MIDDLE) -> F32:
    """Intersects the sides, each ``(n, 2)``. Returns corners ``(n, 4, 2)``, clockwise from the top left."""

    def meet(upright: F32, level: F32) -> F32:
        # x = a + b (y - middle), y = c + d (x - middle)
        (a, b), (c, d) = upright.T, level.T
        x = (a + b * (c - d * middle - middle)) / (1 - b * d)
        return np.stack((x, c + d * (x - middle)), axis=-1)

    return np.stack((meet(left, top), meet(right, top), meet(right, bottom), meet(left, bottom)), axis=1)


def _support(corners: F32, steps: Sequence[F32]) -> F32:
    """Share of each side of quadrangles ``(n, 4, 2)`` that shows a step, ``(n, 4)``."""
    shares = []
    for number, step in enumerate(steps):
        near = step.copy()
        np.maximum(near[:, 1:], step[:, :-1], out=near[:, 1:])
        np.maximum(near[:, :-1], step[:, 1:], out=near[:, :-1])
        # Any step counts one half. Its height, up to half of the full step, counts the rest.
        worth = 0.5 * (near > 0) + np.minimum(near, 0.5)
        along, over = _points(corners, number)
        at = np.clip(along + 0.5, 0, GRID - 1).astype(np.intp) * GRID
        at += np.clip(over + 0.5, 0, GRID - 1).astype(np.intp)
        shares.append(worth.take(at).mean(axis=1))
    return np.stack(shares, axis=1).astype(np.float32)


def _points(corners: F32, side: int) -> tuple[Floats, Floats]:
    """Points on one side of quadrangles ``(n, 4, 2)``: position along it and across it, ``(n, 20)`` each."""
    t = (np.arange(_ALONG, dtype=np.float32) + 0.5) / _ALONG
    first, last = corners[:, _ENDS[side][0], :, None], corners[:, _ENDS[side][1], :, None]
    points = first * (1 - t) + last * t
    return (points[:, 0], points[:, 1]) if side > 1 else (points[:, 1], points[:, 0])


def _smooth(points: F32) -> F32:
    """Slope of points ``(128, 128)`` from left to right over a neighbourhood of 3 by 5."""
    down = points.copy()
    down[1:-1] = (points[:-2] + points[1:-1] + points[2:]) * np.float32(1 / 3)
    rise = np.zeros_like(points)
    rise[:, 2:-2] = down[:, 4:] + down[:, 3:-1] - down[:, 1:-3] - down[:, :-4]
    return rise


def _refined(corners: F32, own: npt.NDArray[np.bool_], rises: Sequence[F32]) -> F32:
    """Moves corners ``(4, 2)`` to the steepest steps near their sides, with sub-point accuracy."""
    lines = []
    for side, rise in enumerate(rises):
        if own[side]:
            lines.append((POINTS - 0.5 if side % 2 else -0.5, 0.0))
            continue
        along, over = _points(corners[None], side)
        lines.append(_fitted(along[0], over[0], rise))
    left, right, top, bottom = (np.array([line], np.float32) for line in lines)
    return np.asarray(_corners(left, right, top, bottom, (POINTS - 1) / 2)[0], np.float32)


def _fitted(along: Floats, over: Floats, rise: F32) -> tuple[float, float]:
    """Fits a line through the steepest rises near points. Returns its place at the middle and its slope."""
    row = np.clip(np.rint(along), 0, POINTS - 1).astype(np.intp)
    column = np.clip(np.rint(over).astype(np.intp)[:, None] + np.arange(-4, 5), 1, POINTS - 2)
    at = column[np.arange(len(row)), rise[row[:, None], column].argmax(axis=1)]
    before, here, after = (rise[row, at + d] for d in (-1, 0, 1))
    bend = np.minimum(before - 2 * here + after, -1e-3)
    place = at + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    y = along - (POINTS - 1) / 2
    line = float(over.mean()), 0.0
    weight = np.clip(here, 0, 40)
    for _ in range(3):
        total = float(weight.sum())
        if total <= 0:
            break
        mean_y, mean = float(weight @ y) / total, float(weight @ place) / total
        slope = float(weight @ ((y - mean_y) * place)) / max(float(weight @ (y - mean_y) ** 2), 1e-6)
        line = mean - slope * mean_y, slope
        off = np.abs(place - line[0] - slope * y)
        weight = np.clip(here, 0, 40) * (off < max(1.0, 2 * float(np.median(off))))
    return line
