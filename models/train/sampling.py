"""Chooses the frames of a clip's samples by the schedule of the live path, from a list of times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DELTA_MS = 100
STEP_MS = 200


def triples(pts_ms: NDArray[np.int64], delta_ms: int = DELTA_MS, step_ms: int = STEP_MS) -> NDArray[np.int64]:
    """Frame indices int64 ``(S, 3)`` of dense samples: those closest to t-δ, t, t+δ for t = δ, δ + step …

    A clip too short for one sample still gives one, of the frames that it has.
    """
    last = int(pts_ms[-1])
    centres = np.arange(delta_ms, max(last - delta_ms, delta_ms) + 1, step_ms)
    wanted = centres[:, None] + np.array([-delta_ms, 0, delta_ms])
    return closest(pts_ms, wanted)


def closest(pts_ms: NDArray[np.int64], wanted_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the frame closest in time to each wanted time. The earlier one of a tie."""
    right = np.clip(np.searchsorted(pts_ms, wanted_ms), 1, max(len(pts_ms) - 1, 1))
    if len(pts_ms) == 1:
        return np.zeros_like(right)
    left = right - 1
    nearer_left = wanted_ms - pts_ms[left] <= pts_ms[np.minimum(right, len(pts_ms) - 1)] - wanted_ms
    return np.where(nearer_left, left, right)
