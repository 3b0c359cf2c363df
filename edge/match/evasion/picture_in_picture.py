"""Picture in picture: finds insets in a frame by their straight edges. Pure.

A known video beside a face camera, in a game's menu or on a blurred copy of itself changes the hash of the
frame. The sides of such an inset are lines one pixel sharp from corner to corner. The search finds lines
with more brightness steps than their neighbours, however short they are. It then picks rectangles with
steps along nearly all of every side. It runs only for frames that are unknown themselves.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from edge.match.evasion.letterbox import Rectangle

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Steps = npt.NDArray[np.bool_]
"""Where the luma steps, ``(lines, places)``: one column for each pair of neighbours."""

STEP_LEVELS = 10
"""Luma levels across an edge that make a step."""
MIN_LINE = 0.1
"""Least excess of a line's share of steps over that of its neighbours."""
MIN_SIDE = 0.2
"""Least side of an inset, as a share of the frame's side."""
MIN_STEPS = 0.4
"""Least share of steps along each side of an inset. Less finds few more, and finds insets in every other
frame."""
FRAME_STEPS = 0.45
"""Share that a side on the frame's own border counts for. A visible side counts more."""
MAX_PANELS = 4
_SAMPLES = 160
_BESIDE = 4
_LINES = 12


def panels(luma: U8) -> tuple[Rectangle, ...]:
    """Finds at most four rectangles in a luma plane ``(h, w)`` that may be insets, likeliest first."""
    height, width = luma.shape
    if min(height, width) < 64:
        return ()
    upright = _steps(luma[:: max(1, height // _SAMPLES)])
    level = _steps(luma[:, :: max(1, width // _SAMPLES)].T)
    columns, rows = _lines(upright), _lines(level)
    left_right, top_bottom = _spans(columns, width), _spans(rows, height)
    if not len(left_right) or not len(top_bottom):
        return ()
    upright_shares = _shares(upright, columns, top_bottom / height)
    level_shares = _shares(level, rows, left_right / width)
    places_x, places_y = [0, width, *columns], [0, height, *rows]
    x = [[places_x.index(end) for end in pair] for pair in left_right.tolist()]
    y = [[places_y.index(end) for end in pair] for pair in top_bottom.tolist()]
    # Shares of steps along the left, right, top and bottom side: (4, spans across, spans down).
    a, b = np.array(x).T
    c, d = np.array(y).T
    sides = np.stack((upright_shares[a], upright_shares[b], level_shares[c].T, level_shares[d].T))
    score = np.where(np.isnan(sides), FRAME_STEPS, sides).sum(axis=0)
    score[(np.where(np.isnan(sides), 1.0, sides) < MIN_STEPS).any(axis=0) | np.isnan(sides).all(axis=0)] = 0
    best = np.argsort(-score, axis=None, kind="stable")[:MAX_PANELS]
    found = []
    for place in best.tolist():
        across, down = divmod(place, len(top_bottom))
        if score[across, down] > 0:
            left, right = left_right[across].tolist()
            top, bottom = top_bottom[down].tolist()
            found.append(Rectangle(top, bottom, left, right))
    return tuple(found)


def _steps(lines: U8) -> Steps:
    a, b = lines[:, :-1], lines[:, 1:]
    return np.asarray(np.maximum(a, b) - np.minimum(a, b) >= STEP_LEVELS)


def _lines(steps: Steps) -> list[int]:
    """Places of the straight edges, sharpest first."""
    share = steps.mean(axis=0, dtype=np.float32)
    sharp = share[_BESIDE:-_BESIDE] - np.maximum(share[: -2 * _BESIDE], share[2 * _BESIDE :])
    places: list[int] = []
    for place in np.argsort(-sharp)[: 8 * _LINES].tolist():
        if sharp[place] < MIN_LINE or len(places) == _LINES:
            break
        at = place + _BESIDE + 1
        if all(abs(at - other) > _BESIDE for other in places):
            places.append(at)
    return places


def _spans(places: list[int], length: int) -> npt.NDArray[np.intp]:
    """Pairs of edges that are far enough apart, ``(n, 2)``. The frame's ends count as edges."""
    pairs = combinations(sorted({0, length, *places}), 2)
    wide = [pair for pair in pairs if pair[1] - pair[0] >= MIN_SIDE * length]
    return np.array(wide, dtype=np.intp).reshape(-1, 2)


def _shares(steps: Steps, places: list[int], spans: npt.NDArray[np.floating]) -> F32:
    """Shares of steps along each edge between the ends of each span, ``(edges, spans)``.

    The first two edges are the frame's. They show no steps and are NaN.
    """
    ends = np.rint(spans * len(steps)).astype(np.intp)
    summed = np.zeros((len(steps) + 1, len(places)), dtype=np.float32)
    np.cumsum(steps[:, [at - 1 for at in places]], axis=0, out=summed[1:])
    along = (summed[ends[:, 1]] - summed[ends[:, 0]]) / np.maximum(ends[:, 1] - ends[:, 0], 1)[:, None]
    nothing = np.full((2, len(spans)), np.nan, dtype=np.float32)
    return np.vstack((nothing, along.T)).astype(np.float32)
