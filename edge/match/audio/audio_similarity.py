"""Decides whether two runs of chromaprint items are the same audio, item by item. Pure.

Items of the same audio differ in 0 to 5 % of their bits after another encoding. Recorded from a
loudspeaker, they differ in 10 to 30 %. Items of different sounds differ in 40 to 50 %, and seldom in under
30 % over some seconds. Silence, tones, hum and noise have items that hardly change. Such a stretch
resembles any other of its kind and is not compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.match.audio.chromaprint import Items

Numbers = npt.NDArray[np.intp]
Shares = npt.NDArray[np.float64]

LEVELS = ((24, 0.10), (40, 0.20), (80, 0.25))
"""Length of a run in items (3, 5 and 10 s), and the largest bit error at which it is the same audio."""
SHORTEST = LEVELS[0][0]
LONGEST = LEVELS[-1][0]
LIKELY = 0.30
"""Bit error of the last ``SHORTEST`` items above which a pair is not compared further."""
SLOPES = (1.0, 0.95, 1.05, 0.9, 1.1)
"""Speeds that are tried, bank time over live time. A speed change that also shifts the pitch moves every
tone, so it matches at none of them."""
CHANGE_ITEMS = 8
MIN_CHANGE = 0.28
"""Least share of the bits that change within a second, averaged over a stretch.

Hum and tones have 0, white noise 0.2. Of music, 97 % is above the limit."""
MIN_DISTINCT = 0.75
"""Least share of distinct items in a stretch."""
MAX_LIKELY = 256
"""Most places that are compared in full. The nearest win."""


@dataclass(frozen=True, slots=True)
class AudioHit:
    """A stretch of known audio that equals the newest stretch of live audio."""

    position: int
    """Index of the known stretch's last item."""
    end: int
    """Index of the live stretch's last item."""
    slope: float
    items: int
    """Length of both stretches."""
    error: float
    """Share of the bits that differ."""


def changes(stretches: Items) -> Shares:
    """Returns the share of bits that change within a second, float64 ``(n,)``, for items ``(n, length)``."""
    moved = np.bitwise_count(stretches[:, CHANGE_ITEMS:] ^ stretches[:, :-CHANGE_ITEMS])
    return np.asarray(moved.mean(axis=1) / 32, np.float64)


def telling(stretches: Items) -> npt.NDArray[np.bool_]:
    """Whether each stretch ``(n, length)`` is distinctive: no silence, tone, hum or noise. Bool ``(n,)``."""
    ordered = np.sort(stretches, axis=1)
    distinct = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    return np.asarray((changes(stretches) >= MIN_CHANGE) & (distinct >= MIN_DISTINCT * stretches.shape[1]))


def compare(live: Items, known: Items, ends: Numbers, positions: Numbers, first: Numbers) -> list[AudioHit]:
    """Returns the candidate pairs that are the same audio, each at its least error.

    ``ends`` (n,) are the last items of stretches in ``live``. ``positions`` (n,) are the items in ``known``
    that they may equal. ``first`` (n,) is where the known audio of each begins. The stretches end with the
    pair.
    """
    slope_of, errors, at = [], [], []
    for slope in SLOPES:
        found, which = _errors(live, known, ends, positions, first, SHORTEST, slope)
        near = which[found <= LIKELY]
        slope_of += [slope] * len(near)
        errors += found[found <= LIKELY].tolist()
        at += near.tolist()
    hits: list[AudioHit] = []
    best = np.argsort(errors, kind="stable")[:MAX_LIKELY]
    for slope in dict.fromkeys(slope_of[i] for i in best):
        rows = np.array([at[i] for i in best if slope_of[i] == slope], np.intp)
        hits += _hits(live, known, ends[rows], positions[rows], first[rows], slope)
    return hits


def _hits(
    live: Items, known: Items, ends: Numbers, positions: Numbers, first: Numbers, slope: float
) -> list[AudioHit]:
    best: dict[tuple[int, int], AudioHit] = {}
    for length, limit in LEVELS:
        errors, which = _errors(live, known, ends, positions, first, length, slope)
        which, errors = which[errors <= limit], errors[errors <= limit]
        if not len(which):
            continue
        heard, stored = _places(ends[which], positions[which], length, slope)
        good = telling(live[heard]) & telling(known[stored])
        for i, error in zip(which[good].tolist(), errors[good].tolist(), strict=True):
            end, position = int(ends[i]), int(positions[i])
            other = best.get((end, position))
            if other is None or error < other.error:
                best[end, position] = AudioHit(position, end, slope, length, float(error))
    return list(best.values())


def _errors(
    live: Items, known: Items, ends: Numbers, positions: Numbers, first: Numbers, length: int, slope: float
) -> tuple[Shares, Numbers]:
    """Returns the bit error of the pairs with a stretch of this length before them, and their indices."""
    reach = round((length - 1) * slope)
    which = np.flatnonzero((ends >= length - 1) & (positions - first >= reach))
    heard, stored = _places(ends[which], positions[which], length, slope)
    bits = np.bitwise_count(live[heard] ^ known[stored])
    return np.asarray(bits.mean(axis=1) / 32, np.float64), which


def _places(ends: Numbers, positions: Numbers, length: int, slope: float) -> tuple[Any, Any]:
    back = np.arange(length - 1, -1, -1)
    return ends[:, None] - back, positions[:, None] - np.rint(back * slope).astype(np.intp)
