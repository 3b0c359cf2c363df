"""The perspective transform from the unit square to a quadrangle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def homography(corners: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Returns coefficients a to h of x = (a u + b v + c) / (g u + h v + 1), y = (d u + e v + f) / (g u + h
    v + 1).

    ``corners`` are the images of (0, 0), (1, 0), (1, 1) and (0, 1).
    """
    equations, values = [], []
    for (u, v), (x, y) in zip(_SQUARE, corners, strict=True):
        equations += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        values += [x, y]
    return tuple(np.linalg.solve(np.array(equations), np.array(values)).tolist())
