"""Exact Hamming search over 256-bit codes: the type of a result, and the linear scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.match.pdq.hasher import HASH_BYTES

Codes = npt.NDArray[np.uint64]
"""uint64 (n, 4): 32 bytes a row, in memory order."""
Positions = npt.NDArray[np.intp]

MAX_RADIUS = 31
MAX_HITS = 4096
"""Most hits of one query. The nearest are kept."""
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Hits:
    """Codes within the radius of one query, nearest first."""

    positions: Positions
    distances: npt.NDArray[np.uint16]
    truncated: bool = False
    """Whether a bound was hit. Then there are more codes, and none that was left out is nearer."""


NO_HITS = Hits(np.empty(0, np.intp), np.empty(0, np.uint16))


def codes_of(hashes: bytes | npt.NDArray[np.uint8]) -> Codes:
    """Views n × 32 bytes as codes (n, 4). Copies only non-contiguous memory."""
    raw = np.frombuffer(hashes, np.uint8) if isinstance(hashes, bytes) else np.ascontiguousarray(hashes)
    return raw.reshape(-1, HASH_BYTES).view(np.uint64)


def distances(codes: Codes, query: Codes) -> npt.NDArray[np.uint16]:
    """Returns the Hamming distances of codes (n, 4) to one code (4,), uint16 (n,)."""
    return np.asarray(np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.uint16))


def nearest(positions: Positions, found: npt.NDArray[np.uint16], max_hits: int = MAX_HITS) -> Hits:
    """Returns at most ``max_hits`` hits in order of distance, then position."""
    order = np.lexsort((positions, found))
    kept = order[:max_hits]
    return Hits(positions[kept], found[kept], truncated=len(order) > max_hits)


def scan(codes: Codes, query: Codes, radius: int, max_hits: int = MAX_HITS) -> Hits:
    """Returns all codes (n, 4) within ``radius`` of one code (4,). Compares every code."""
    parts: list[Positions] = []
    found: list[npt.NDArray[np.uint16]] = []
    for start in range(0, len(codes), _BLOCK):
        d = distances(codes[start : start + _BLOCK], query)
        near = np.flatnonzero(d <= radius)
        if len(near):
            parts.append(near + start)
            found.append(d[near])
    if not parts:
        return NO_HITS
    return nearest(np.concatenate(parts), np.concatenate(found), max_hits)
