"""Exact radius search over 256-bit codes by multi-index hashing, in numpy.

Codes are cut into m disjoint chunks of w bits. Take two codes that differ in at most r bits, and any
thresholds tᵢ ≥ -1 with Σ(tᵢ + 1) = r + 1. Then they differ in at most tᵢ bits in at least one chunk i. So a
query probes the buckets of each chunk at up to tᵢ flipped bits and measures the codes there. With eleven or
twelve chunks of about log₂ n bits the average bucket holds at most one code. A query then touches a few
thousand buckets. The chunks need not cover all bits.

Real data is skewed: neighbouring frames share chunks. When the buckets of a query hold too many codes, the
query gets new thresholds. They avoid full buckets and probe empty ones further, and the search stays exact.
If that does not help, the search is cut off and the result says so.

The index is our own because faiss scans every code. Its exact search takes 13 times as long at a million
codes (``python -m benchmarks match``).

Norouzi, Punjani, Fleet: Fast Exact Search in Hamming Space with Multi-Index Hashing (2014). Thresholds by
bucket size: Qin et al., GPH: Similarity Search in Hamming Space (2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.match.index.hamming import MAX_HITS, MAX_RADIUS, NO_HITS, Codes, Hits, distances, nearest, scan

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

SCAN_UP_TO = 2048
"""Up to this many codes a linear scan is as fast."""
EASY = 1 << 15
"""Up to this many codes are measured without new thresholds."""
HARD = 1 << 18
"""Most codes measured in a query. A query with more is cut off and says so."""
_MAX_WIDTH = 23
_MIN_WIDTH = 10
_MAX_FLIPS = 3
_BLOCK = 1 << 22
_ONES = np.uint32(0x01010101)
_TOP_BYTE = np.uint32(24)


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How codes are cut into chunks."""

    chunks: int
    width: int

    @property
    def slots(self) -> int:
        return self.chunks << self.width

    @property
    def usable(self) -> bool:
        """Whether queries with this plan have a bounded run time."""
        return (
            self.chunks in (11, 12)
            and _MIN_WIDTH <= self.width <= _MAX_WIDTH
            and self.chunks * self.width <= 256
        )


def plan_for(count: int) -> SearchPlan:
    """Returns the plan for that many codes, within 120 bytes a code at ten million.

    It aims at about half a code per bucket. Probing an empty bucket costs one access to distant memory. A
    code that is not near costs two more.
    """
    width = min(max(round(np.log2(max(count, 1)) + 0.6), _MIN_WIDTH), _MAX_WIDTH)
    return SearchPlan(11 if width > 21 else 12, width)


def build(codes: Codes) -> tuple[SearchPlan, dict[str, U32]]:
    """Returns the arrays of an index: the start of each bucket, and the codes in bucket order."""
    plan = plan_for(len(codes))
    first = np.empty(plan.slots + 1, dtype=np.uint32)
    order = np.empty(plan.chunks * len(codes), dtype=np.uint32)
    for chunk in range(plan.chunks):
        keys = _chunk(codes, chunk * plan.width, plan.width)
        base = chunk * len(codes)
        order[base : base + len(codes)] = np.argsort(keys, kind="stable")
        ends = np.cumsum(np.bincount(keys, minlength=1 << plan.width))
        slot = chunk << plan.width
        first[slot] = base
        first[slot + 1 : slot + (1 << plan.width)] = base + ends[:-1]
    first[-1] = plan.chunks * len(codes)
    return plan, {"slot_first": first, "slot_codes": order}


class ChunkIndex:
    """Answers queries from the arrays of ``build``. They are read-only, so all processes share one
    mapping."""

    def __init__(self, codes: Codes, plan: SearchPlan, arrays: Mapping[str, Any]) -> None:
        self._codes = codes
        self._plan = plan
        self._first: U32 = arrays["slot_first"]
        self._order: U32 = arrays["slot_codes"]

    def is_intact(self) -> bool:
        """Whether every index that a query follows stays inside its array."""
        first, order, count = self._first, self._order, len(self._codes)
        if len(first) != self._plan.slots + 1 or len(order) != self._plan.chunks * count:
            return False
        if int(first[0]) != 0 or int(first[-1]) != len(order):
            return False
        rising = all(
            (first[at + 1 : at + _BLOCK + 1] >= first[at : at + _BLOCK][: len(first) - at - 1]).all()
            for at in range(0, len(first) - 1, _BLOCK)
        )
        inside = all(int(order[at : at + _BLOCK].max()) < count for at in range(0, len(order), _BLOCK))
        return rising and inside

    def search(self, query: Codes, radius: int = MAX_RADIUS, max_hits: int = MAX_HITS) -> Hits:
        """Returns all codes within ``radius`` (0 to 43) of one code (4,), nearest first."""
        keys = self._keys(query)
        first, count = self._buckets(keys, _probes(self._plan, _even(self._plan.chunks, radius)))
        wanted = int(count.sum())
        cut_off = False
        if wanted > EASY:
            first, count = self._cheapest_buckets(keys, radius)
            wanted = int(count.sum())
            if wanted >= len(self._codes) // 2 and len(self._codes) <= HARD:
                return scan(self._codes, query, radius, max_hits)
            if wanted > HARD:
                keep = int(np.searchsorted(np.cumsum(count), HARD))
                first, count, cut_off = first[: keep + 1], count[: keep + 1].copy(), True
                count[-1] -= count.sum() - HARD
        return self._measured(query, radius, first, count, max_hits, cut_off)

    def _keys(self, query: Codes) -> I64:
        number = int.from_bytes(query.tobytes(), "little")
        mask = (1 << self._plan.width) - 1
        return np.array([number >> (c * self._plan.width) & mask for c in range(self._plan.chunks)], np.int64)

    def _buckets(self, keys: I64, probes: _Probes) -> tuple[I64, I64]:
        """Returns start and size of the non-empty buckets in the order of the probes."""
        slots = keys.take(probes.chunk)
        slots ^= probes.slot
        start = self._first.take(slots)
        slots += 1
        count = self._first.take(slots)
        count -= start
        full = np.flatnonzero(count)
        return start[full].astype(np.int64), count[full].astype(np.int64)

    def _cheapest_buckets(self, keys: I64, radius: int) -> tuple[I64, I64]:
        """Returns the buckets for the cheapest thresholds of this query, nearest buckets first."""
        all_probes = [_flips(self._plan, c) for c in range(self._plan.chunks)]
        costs = np.zeros((self._plan.chunks, _MAX_FLIPS + 2), dtype=np.int64)
        found: list[tuple[I64, I64]] = []
        for chunk, (slot, bounds) in enumerate(all_probes):
            at = slot ^ keys[chunk]
            start = self._first.take(at).astype(np.int64)
            count = self._first.take(at + 1).astype(np.int64) - start
            found.append((start, count))
            costs[chunk, 1:] = np.cumsum(count)[np.array(bounds) - 1]
        thresholds = _cheapest(costs, radius + 1)
        starts, counts, weights = [], [], []
        for (start, count), (_, bounds), flips in zip(found, all_probes, thresholds, strict=True):
            if flips < 0:
                continue
            end = bounds[flips]
            starts.append(start[:end])
            counts.append(count[:end])
            weights.append(_weights(self._plan.width)[:end])
        order = np.argsort(np.concatenate(weights), kind="stable")
        start, count = np.concatenate(starts)[order], np.concatenate(counts)[order]
        full = np.flatnonzero(count)
        return start[full], count[full]

    def _measured(
        self, query: Codes, radius: int, first: I64, count: I64, max_hits: int, cut_off: bool
    ) -> Hits:
        total = int(count.sum())
        if not total:
            return NO_HITS
        ends = np.cumsum(count)
        at = np.repeat(first - (ends - count), count)
        at += np.arange(total)
        candidates = self._order.take(at)
        differ = self._codes.take(candidates, axis=0)
        differ ^= query
        # One multiplication adds the four one-byte counts. The opposite code's 256 overflows to 0.
        bits = np.bitwise_count(differ).view(np.uint32)[:, 0]
        bits *= _ONES
        bits >>= _TOP_BYTE
        near = np.flatnonzero(bits <= radius)
        if not len(near):
            return Hits(NO_HITS.positions, NO_HITS.distances, cut_off)
        positions = np.unique(candidates[near]).astype(np.intp)
        found = distances(self._codes[positions], query)
        within = found <= radius
        hits = nearest(positions[within], found[within], max_hits)
        return Hits(hits.positions, hits.distances, hits.truncated or cut_off)


@dataclass(frozen=True, slots=True)
class _Probes:
    chunk: I64
    slot: I64
    """First slot of the chunk, plus the flipped bits. XOR with the chunk's key gives the bucket."""


def _even(chunks: int, radius: int) -> tuple[int, ...]:
    """Returns thresholds that are as equal as possible. The sum of tᵢ + 1 is radius + 1."""
    each, more = divmod(radius + 1, chunks)
    return tuple(each - 1 + (chunk < more) for chunk in range(chunks))


@cache
def _probes(plan: SearchPlan, thresholds: tuple[int, ...]) -> _Probes:
    chunks, slots = [], []
    for chunk, flips in enumerate(thresholds):
        if flips >= 0:
            slot, bounds = _flips(plan, chunk)
            slots.append(slot[: bounds[flips]])
            chunks.append(np.full(bounds[flips], chunk, dtype=np.int64))
    return _Probes(np.concatenate(chunks), np.concatenate(slots))


@cache
def _flips(plan: SearchPlan, chunk: int) -> tuple[I64, tuple[int, ...]]:
    """Returns the slots of a chunk in order of flipped bits, and the end of each number of flips."""
    masks, bounds = _masks(plan.width)
    return (chunk << plan.width) | masks, bounds


@cache
def _masks(width: int) -> tuple[I64, tuple[int, ...]]:
    masks: list[int] = []
    bounds: list[int] = []
    for flips in range(_MAX_FLIPS + 1):
        masks += [sum(1 << bit for bit in bits) for bits in combinations(range(width), flips)]
        bounds.append(len(masks))
    return np.array(masks, dtype=np.int64), tuple(bounds)


@cache
def _weights(width: int) -> npt.NDArray[np.uint8]:
    return np.bitwise_count(_masks(width)[0].astype(np.uint64))


def _cheapest(costs: I64, budget: int) -> list[int]:
    """Returns thresholds tᵢ ≥ -1 with Σ(tᵢ + 1) = budget and the least Σ costs[i, tᵢ + 1]."""
    chunks, levels = costs.shape
    least = np.full((chunks + 1, budget + 1), np.iinfo(np.int64).max // 2)
    choice = np.zeros((chunks + 1, budget + 1), dtype=np.int64)
    least[0, 0] = 0
    for chunk in range(chunks):
        for spent in range(min(levels - 1, budget) + 1):
            total = least[chunk, : budget + 1 - spent] + costs[chunk, spent]
            better = total < least[chunk + 1, spent:]
            least[chunk + 1, spent:][better] = total[better]
            choice[chunk + 1, spent:][better] = spent
    thresholds = []
    for chunk in range(chunks, 0, -1):
        spent = int(choice[chunk, budget])
        thresholds.append(spent - 1)
        budget -= spent
    return thresholds[::-1]


def _chunk(codes: Codes, shift: int, width: int) -> U32:
    """Returns ``width`` bits of each code from bit ``shift`` on, little endian, uint32 (n,)."""
    word, bit = divmod(shift, 64)
    values = codes[:, word] >> np.uint64(bit)
    if bit + width > 64:
        values |= codes[:, word + 1] << np.uint64(64 - bit)
    return (values & np.uint64((1 << width) - 1)).astype(np.uint32)
