"""Finds the places in known audio that a live item may come from, by equal parts of its bits.

Four overlapping parts of 20 of the 32 bits serve as keys. Each key is sorted and lists the places that have
it. Items of the same audio may differ in a fifth of their bits. They still share a part every second or
two. A random item shares a part with eight places in two hours of music. Items of uniform stretches
(silence, hum) are not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import BankError
from edge.match.audio.audio_similarity import MIN_CHANGE, SHORTEST, AudioHit, Numbers, changes, compare
from edge.match.audio.chromaprint import ITEM_MS, Items
from edge.match.entry import AudioPrint

KEY_BITS = 20
TURNS = (0, 8, 16, 24)
"""Bits by which an item is rotated left. Its upper bits are then the key."""
MAX_PLACES = 256
"""Most places of one key that are compared. A key with more places is not distinctive."""
_BLOCK = 1 << 16


def keys_of(items: Items, turn: int) -> Items:
    """Returns one part of each item, uint32 ``(n,)``."""
    turned = (items << np.uint32(turn)) | (items >> np.uint32(32 - turn)) if turn else items
    return np.asarray(turned >> np.uint32(32 - KEY_BITS), np.uint32)


def build(prints: Sequence[AudioPrint | None]) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of a segment whose entries have these sounds, in the order of the entries."""
    each = [np.empty(0, np.uint32) if one is None else one.array() for one in prints]
    items = np.concatenate([*each, np.empty(0, np.uint32)])
    first = np.cumsum([0, *map(len, each)]).astype(np.uint32)
    begins = np.repeat(first[:-1], np.diff(first)).astype(np.intp)
    places = _worth_finding(items, begins)
    keys = [keys_of(items[places], turn) for turn in TURNS]
    orders = [np.argsort(key, kind="stable") for key in keys]
    return {
        "sound_items": items,
        "sound_first": first,
        "sound_start": np.array([0 if one is None else one.start_ms for one in prints], np.uint32),
        "sound_key": np.stack([key[order] for key, order in zip(keys, orders, strict=True)]),
        "sound_at": np.stack([places[order] for order in orders]).astype(np.uint32),
    }


def _worth_finding(items: Items, begins: Numbers) -> Numbers:
    """Returns the items that end a stretch with change in it. The stretch lies within one recording."""
    ends = np.flatnonzero(np.arange(len(items)) - begins >= SHORTEST - 1)
    good = [np.empty(0, np.intp)]
    for start in range(0, len(ends), _BLOCK):
        block = ends[start : start + _BLOCK]
        stretches = items[block[:, None] - np.arange(SHORTEST - 1, -1, -1)]
        good.append(block[changes(stretches) >= 0.75 * MIN_CHANGE])
    return np.concatenate(good)


class AudioIndex:
    """The sounds of one segment's entries. The arrays are shared, read-only mappings."""

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, npt.NDArray[Any]],
        entries: int,
        *,
        verify: bool,
        readable: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """``readable`` tells whether a search may return the entry with that number.

        Raises BankError where the arrays do not have the form that ``build`` writes.
        """
        names = ("sound_items", "sound_first", "sound_start", "sound_key", "sound_at")
        found = [arrays.get(name) for name in names]
        if any(array is None or array.dtype != np.uint32 for array in found):
            raise BankError(f"{path}: sections of audio are missing or of another type")
        self._items, self._first, self._start, self._key, self._at = (np.asarray(a) for a in found)
        if not self._is_intact(entries, verify):
            raise BankError(f"{path}: sections of audio do not keep the format")
        self._readable = readable

    def __len__(self) -> int:
        """Returns the number of items."""
        return len(self._items)

    def print_of(self, number: int) -> AudioPrint | None:
        """Returns the audio of the entry at ``number``. None where it has no audio."""
        first, last = int(self._first[number]), int(self._first[number + 1])
        if first == last:
            return None
        return AudioPrint(self._items[first:last].astype("<u4").tobytes(), int(self._start[number]))

    def search(self, live: Items, new: int) -> tuple[list[tuple[int, int, AudioHit]], bool]:
        """Finds the known audio that ends with one of the newest ``new`` live items.

        ``live`` is uint32 ``(n,)``. Returns tuples of entry number, time in ms in the entry, and hit, and
        whether a bound was hit. The run time grows with the number of items that share a key.
        """
        begin = max(len(live) - new, SHORTEST - 1)
        ends, places, cut_short = self._candidates(live, begin)
        if not len(ends):
            return [], cut_short
        numbers = np.searchsorted(self._first, places, "right") - 1
        hits = compare(live, self._items, ends, places, self._first[numbers].astype(np.intp))
        found = []
        for hit in hits:
            number = int(np.searchsorted(self._first, hit.position, "right")) - 1
            at_ms = int(self._start[number]) + round((hit.position - int(self._first[number])) * ITEM_MS)
            if self._readable(number):
                found.append((number, at_ms, hit))
        return found, cut_short

    def _candidates(self, live: Items, begin: int) -> tuple[Numbers, Numbers, bool]:
        """Returns pairs of live items from ``begin`` on and places that share a part with them, each pair
        once."""
        items = live[begin:]
        cut_short = False
        pairs = [np.empty(0, np.uint64)]
        for row, turn in enumerate(TURNS):
            keys = keys_of(items, turn)
            left = np.searchsorted(self._key[row], keys, "left")
            counts = np.searchsorted(self._key[row], keys, "right") - left
            cut_short = cut_short or bool((counts > MAX_PLACES).any())
            counts = np.minimum(counts, MAX_PLACES)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            at = self._at[row][np.repeat(left, counts) + within].astype(np.uint64)
            ends = np.repeat(np.arange(begin, begin + len(items)), counts).astype(np.uint64)
            pairs.append(ends << np.uint64(32) | at)
        pair = np.unique(np.concatenate(pairs))
        ends, at = pair >> np.uint64(32), pair & np.uint64(0xFFFFFFFF)
        return ends.astype(np.intp), at.astype(np.intp), cut_short

    def _is_intact(self, entries: int, verify: bool) -> bool:
        """Whether every index that a query follows stays inside its array, even in a hostile file."""
        first, items = self._first, len(self._items)
        good = first.shape == (entries + 1,) and self._start.shape == (entries,) and self._items.ndim == 1
        good = (
            good and int(first[0]) == 0 and int(first[-1]) == items and bool((first[1:] >= first[:-1]).all())
        )
        good = good and self._key.shape == self._at.shape and self._key.shape[:1] == (len(TURNS),)
        good = good and self._key.ndim == 2 and (not self._at.size or int(self._at.max()) < items)
        if verify:
            good = good and bool((self._key[:, 1:] >= self._key[:, :-1]).all())
        return good
