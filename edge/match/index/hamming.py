"""Exact Hamming search over 256-bit codes: what an index answers, and the linear scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.match.pdq.hasher import HASH_BYTES

Codes = npt.NDArray[np.uint64]
"""(n, 4): 32 bytes a row, in memory order."""
Positions = npt.NDArray[np.intp]

MAX_RADIUS = 31
MAX_HITS = 4096
"""Hits kept of one query; the nearest win."""
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Hits:
    """Codes within the radius of one query, nearest first."""

    positions: Positions
    distances: npt.NDArray[np.uint16]
    truncated: bool = False
    """A bound was hit: there are more, and those left out are no nearer."""


NO_HITS = Hits(np.empty(0, np.intp), np.empty(0, np.uint16))


def codes_of(hashes: bytes | npt.NDArray[np.uint8]) -> Codes:
    """(n, 4) codes from n × 32 bytes, without a copy where the memory allows it."""
    raw = np.frombuffer(hashes, np.uint8) if isinstance(hashes, bytes) else np.ascontiguousarray(hashes)
    return raw.reshape(-1, HASH_BYTES).view(np.uint64)


def distances(codes: Codes, query: Codes) -> npt.NDArray[np.uint16]:
    """Hamming distances of (n, 4) codes to one code (4,)."""
    return np.asarray(np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.uint16))


def nearest(positions: Positions, found: npt.NDArray[np.uint16], max_hits: int = MAX_HITS) -> Hits:
    """Hits in order of distance, then position, bounded."""
    order = np.lexsort((positions, found))
    kept = order[:max_hits]
    return Hits(positions[kept], found[kept], truncated=len(order) > max_hits)


def scan(codes: Codes, query: Codes, radius: int, max_hits: int = MAX_HITS) -> Hits:
    """All codes within ``radius`` of ``query`` by looking at every one."""
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
