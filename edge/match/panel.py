"""Picture in picture: rectangles that a layout puts into a frame, found by their straight edges.

A known video beside a face camera, in a game's menu or on a blurred copy of itself has a hash of its
own in none of them. The edge of such a panel is a line one pixel sharp along a good part of the frame,
which pictures themselves hardly ever have. Pure; only asked when the frame itself is not known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.match.border import Rectangle

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

STEP_LEVELS = 10
"""Luma levels across an edge that make a step."""
MIN_LINE = 0.12
"""By how much the share of steps along a line is over that of the lines beside it."""
MIN_SIDE = 0.2
"""Share of the frame's side that a panel has at least."""
MAX_PANELS = 4
_SAMPLES = 240
_BESIDE = 4
_LINES = 3


def panels(luma: U8) -> tuple[Rectangle, ...]:
    """Up to four rectangles of a luma plane ``(h, w)`` that may be pictures in the picture."""
    height, width = luma.shape
    if min(height, width) < 64:
        return ()
    columns = _edges(luma[:: max(1, height // _SAMPLES)])
    rows = _edges(luma[:, :: max(1, width // _SAMPLES)].T)
    spans_x = _spans(columns, width)
    spans_y = _spans(rows, height)
    found = [
        (strength_x + strength_y, Rectangle(top, bottom, left, right))
        for strength_x, left, right in spans_x
        for strength_y, top, bottom in spans_y
        if (bottom - top, right - left) != (height, width)
    ]
    found.sort(key=lambda one: -one[0])
    return tuple(rectangle for _, rectangle in found[:MAX_PANELS])


def _edges(lines: U8) -> list[tuple[float, int]]:
    """Strength and place of the straight edges across the columns of ``lines``, strongest first."""
    a, b = lines[:, :-1], lines[:, 1:]
    share = (np.maximum(a, b) - np.minimum(a, b) >= STEP_LEVELS).mean(axis=0, dtype=np.float32)
    beside = np.maximum(share[: -2 * _BESIDE], share[2 * _BESIDE :])
    sharp = share[_BESIDE:-_BESIDE] - beside
    edges: list[tuple[float, int]] = []
    for place in np.argsort(-sharp)[: 8 * _LINES]:
        strength = float(sharp[place])
        at = int(place) + _BESIDE + 1
        if strength < MIN_LINE or len(edges) == _LINES:
            break
        if all(abs(at - other) > _BESIDE for _, other in edges):
            edges.append((strength, at))
    return edges


def _spans(edges: list[tuple[float, int]], length: int) -> list[tuple[float, int, int]]:
    """Pairs of edges far enough apart; the ends of the frame are edges, too, though of no strength."""
    places = [*edges, (0.0, 0), (0.0, length)]
    spans = [
        (strength + other, min(at, to), max(at, to))
        for i, (strength, at) in enumerate(places)
        for other, to in places[i + 1 :]
        if abs(at - to) >= MIN_SIDE * length
    ]
    return sorted(spans, reverse=True)[:_LINES]
