"""Finds all near pairs of two sets of codes at once, in numpy.

Two codes that differ in at most 31 bits differ in at most one bit in at least one of their 16 chunks of 16
bits. So each code of the smaller set is entered under its 17 near values of each chunk, and each code of the
larger set is looked up once in each chunk. No index of the larger set is needed, which changes all the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.errors import InvalidInput
from edge.match.index.hamming import MAX_RADIUS, Codes, Positions

BLOCK: Final = 1 << 12
"""Most codes of the smaller set that are looked for at a time."""
_CHUNKS: Final = 16
_VALUES: Final = 1 << 16
_NEAR: Final = np.array([0, *(1 << bit for bit in range(16))], np.uint16)
_ONES: Final = np.uint32(0x01010101)
_TOP_BYTE: Final = np.uint32(24)
_MOST_PAIRS: Final = 1 << 20
"""Pairs that are measured at a time, 64 MB of working memory."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Near pairs, in order of ``large``, then of ``small``. All arrays have the same length."""

    large: Positions
    small: Positions
    distances: npt.NDArray[np.uint16]


def join(large: Codes, small: Codes, radius: int = MAX_RADIUS) -> Pairs:
    """Returns all pairs of a code of ``large`` (n, 4) and one of ``small`` (m, 4) within ``radius`` bits.

    Exact. Takes a few nanoseconds for each code of ``large`` in each block of 4,096 codes of ``small``, and
    more where many codes are alike. Raises InvalidInput for a radius over 31.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise InvalidInput("radius", f"{radius} is not between 0 and {MAX_RADIUS}")
    if not len(large):
        small = small[:0]
    found = [
        (pairs + np.array((0, start)), far)
        for start in range(0, len(small), BLOCK)
        for pairs, far in _join_block(large, small[start : start + BLOCK], radius)
    ]
    if not found:
        return Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.uint16))
    pairs, distances = (
        np.concatenate([each[0] for each in found]),
        np.concatenate([each[1] for each in found]),
    )
    _, first = np.unique(pairs[:, 0] * np.int64(max(1, len(small))) + pairs[:, 1], return_index=True)
    return Pairs(pairs[first, 0], pairs[first, 1], distances[first])


def _join_block(
    large: Codes, small: Codes, radius: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]]:
    found = []
    keys = np.ascontiguousarray(large).view(np.uint16).reshape(-1, _CHUNKS)
    near = np.ascontiguousarray(small).view(np.uint16).reshape(-1, _CHUNKS)
    for chunk in range(_CHUNKS):
        values = (near[:, chunk, None] ^ _NEAR).ravel()
        order = np.argsort(values, kind="stable")
        entered = order // len(_NEAR)
        count = np.bincount(values, minlength=_VALUES)
        begin = np.cumsum(count) - count
        at = np.flatnonzero((count > 0).take(keys[:, chunk]))  # most codes are near none
        key = keys[at, chunk]
        looked_up = count.take(key)
        for part in _parts(looked_up):
            rows, each = at[part], looked_up[part]
            ends = np.cumsum(each)
            place = np.arange(int(ends[-1])) + np.repeat(begin.take(key[part]) - (ends - each), each)
            many, few = np.repeat(rows, each), entered[place]
            differ = large.take(many, axis=0)
            differ ^= small.take(few, axis=0)
            # One multiplication adds the four one-byte counts. The opposite code's 256 overflows to 0.
            bits = np.bitwise_count(differ).view(np.uint32)[:, 0]
            bits *= _ONES
            bits >>= _TOP_BYTE
            kept = np.flatnonzero(bits <= radius)
            if len(kept):
                many, few = many[kept], few[kept]
                far = np.bitwise_count(large[many] ^ small[few]).sum(axis=1, dtype=np.uint16)
                kept = np.flatnonzero(far <= radius)
                found.append((np.column_stack((many[kept], few[kept])), far[kept]))
    return found


def _parts(counts: npt.NDArray[np.int64]) -> list[slice]:
    """Cuts rows into parts with a bounded number of pairs."""
    ends = np.cumsum(counts)
    parts, start = [], 0
    while start < len(counts):
        base = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, base + _MOST_PAIRS, "right")))
        parts.append(slice(start, end))
        start = end
    return parts
