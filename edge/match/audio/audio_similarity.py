"""When two stretches of sound are the same sound: runs of chromaprint items, compared item by item. Pure.

Items of the same sound, encoded anew, differ in 0 to 5 % of their bits, recorded from a loudspeaker in 10
to 30 %; items of other sound in 40 to 50 %, and seldom in under 30 % over some seconds. Silence, tones, hum
and noise have items that hardly change: such a stretch is like any other of its kind, and is not compared.
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
"""Items in a row (3, 5 and 10 s), and the share of their bits up to which they are the same sound."""
SHORTEST = LEVELS[0][0]
LONGEST = LEVELS[-1][0]
LIKELY = 0.30
"""Share of the bits over which the last ``SHORTEST`` items are not compared further."""
SLOPES = (1.0, 0.95, 1.05, 0.9, 1.1)
"""Speeds that are tried, bank time over live time. Speed that shifts pitch, too, moves every tone."""
CHANGE_ITEMS = 8
MIN_CHANGE = 0.28
"""Share of the bits that change within a second, on the average of a stretch. Hum and tones: 0. White noise:
0.2. Of music 97 % is over it."""
MIN_DISTINCT = 0.75
"""Share of a stretch's items that are different ones."""
MAX_LIKELY = 256
"""Places that are compared in full; the nearest win."""


@dataclass(frozen=True, slots=True)
class AudioHit:
    """A stretch of known sound that is the newest stretch of live sound."""

    position: int
    """Of the known stretch's last item."""
    end: int
    """Of the live stretch's last item."""
    slope: float
    items: int
    """How long both are."""
    error: float
    """Share of the bits that differ."""


def changes(stretches: Items) -> Shares:
    """How much items ``(n, length)`` change within a second: a share of their bits, (n,)."""
    moved = np.bitwise_count(stretches[:, CHANGE_ITEMS:] ^ stretches[:, :-CHANGE_ITEMS])
    return np.asarray(moved.mean(axis=1) / 32, np.float64)


def telling(stretches: Items) -> npt.NDArray[np.bool_]:
    """Which of the stretches ``(n, length)`` say something: not silence, a tone, hum or noise."""
    ordered = np.sort(stretches, axis=1)
    distinct = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    return np.asarray((changes(stretches) >= MIN_CHANGE) & (distinct >= MIN_DISTINCT * stretches.shape[1]))


def compare(live: Items, known: Items, ends: Numbers, positions: Numbers, first: Numbers) -> list[AudioHit]:
    """Of pairs that may be the same, those that are, each where it differs least.

    ``ends`` (n,): the last item of a stretch of ``live``; ``positions``: what it may be in ``known``;
    ``first``: where the known sound begins there. The stretches end with the pair.
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
    """Share of differing bits of the pairs that have so long a stretch behind them, and which those are."""
    reach = round((length - 1) * slope)
    which = np.flatnonzero((ends >= length - 1) & (positions - first >= reach))
    heard, stored = _places(ends[which], positions[which], length, slope)
    bits = np.bitwise_count(live[heard] ^ known[stored])
    return np.asarray(bits.mean(axis=1) / 32, np.float64), which


def _places(ends: Numbers, positions: Numbers, length: int, slope: float) -> tuple[Any, Any]:
    back = np.arange(length - 1, -1, -1)
    return ends[:, None] - back, positions[:, None] - np.rint(back * slope).astype(np.intp)
