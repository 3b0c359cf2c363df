"""An immutable part of a bank: unique codes, and for each code its places in known footage.

A code is stored once, however many frames share it. Every reference gives entry, time, span, quality and
variant. A plain segment holds single images whose hash is their only name (a plain PDQ list). It stores the
codes alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import BankError
from edge.match.audio.audio_index import AudioIndex
from edge.match.bank import array_file
from edge.match.bank.entry_table import EntryTable
from edge.match.bank.manifest import SegmentName
from edge.match.bank.segment_builder import MAX_CODES, entry_key, plain_bits, plain_entry
from edge.match.entry import Entry, Footage, HashRun, Variant
from edge.match.index import multi_index
from edge.match.index.hamming import Codes, Hits, codes_of, scan
from edge.match.pdq.hasher import HASH_BYTES

MAX_REFS_PER_CODE = 1024
"""Most references of one code that a query reads. Further ones add nothing new."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One place in known footage that has a code."""

    entry: Entry
    run: HashRun


class Segment:
    """An opened segment. Its arrays are shared, read-only mappings."""

    def __init__(self, path: Path, content: array_file.ArrayFile, *, verify: bool = True) -> None:
        self.path = path
        self.digest = content.digest
        self.size_bytes = content.size_bytes
        self._inode = content.inode
        self.hashes = _count(path, content, "hashes")
        self.entries = _count(path, content, "entries")
        a = content.arrays
        self._codes: Codes = _array(path, a, "codes", np.uint64, 2)
        if self._codes.shape[1:] != (HASH_BYTES // 8,) or len(self._codes) > MAX_CODES:
            raise BankError(f"{path}: codes have the shape {self._codes.shape}")
        self._index = _open_index(path, content, self._codes, verify)
        self.plain = "ref_first" not in a
        """Whether it holds only single images whose hash is their only name."""
        self.variants: frozenset[Variant] = frozenset({Variant.ORIGINAL})
        """Variants that it contains."""
        self.audio: AudioIndex | None = None
        """Known audio. None where no entry has audio."""
        if not self.plain:
            self._first = _array(path, a, "ref_first", np.uint32)
            self._ref_entry = _array(path, a, "ref_entry", np.uint32)
            self._ref_start = _array(path, a, "ref_start", np.uint32)
            self._ref_span = _array(path, a, "ref_span", np.uint32)
            self._ref_quality = _array(path, a, "ref_quality", np.uint8)
            self._ref_variant = _array(path, a, "ref_variant", np.uint8)
            self._entry_first = _array(path, a, "entry_first", np.uint64)
            self._entry_json = _array(path, a, "entry_json", np.uint8)
            self._entry_key = _array(path, a, "entry_key", np.uint64)
            self._entry_of_key = _array(path, a, "entry_of_key", np.uint32)
            self._check(path)
            self._table = EntryTable(path, self._entry_first, self._entry_json)
            self.variants = frozenset(Variant(int(v)) for v in np.unique(self._ref_variant))
            if "sound_items" in a:
                self.audio = AudioIndex(path, a, self.entries, verify=verify, readable=self._table.readable)
        elif self.entries != len(self._codes):
            raise BankError(f"{path}: {self.entries} entries for {len(self._codes)} plain codes")

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> Segment:
        """Maps and checks a segment. Raises BankError when it is torn or damaged."""
        return cls(path, array_file.read_arrays(path, verify=verify), verify=verify)

    def is_current(self) -> bool:
        """Whether the file is the one that is mapped, as long as it was."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_ino, status.st_size) == (self._inode, self.size_bytes)

    def is_whole(self) -> bool:
        """Whether the mapping can be read. Reading behind the end of a file that has shrunk ends the process.

        A file that was replaced or deleted stays whole for as long as it is mapped.
        """
        try:
            status = self.path.stat()
        except OSError:
            return True
        return status.st_ino != self._inode or status.st_size >= self.size_bytes

    def __len__(self) -> int:
        """Returns the number of unique codes."""
        return len(self._codes)

    @property
    def codes(self) -> Codes:
        return self._codes

    @property
    def owners(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint32]] | None:
        """Place of the code, and number of the entry, of each reference. None for a plain segment, whose
        codes are its entries."""
        if self.plain:
            return None
        return np.repeat(np.arange(len(self._codes)), np.diff(self._first)), self._ref_entry

    def are_unchanged(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Whether each of these codes is of a frame as it was shown, or without its plain border."""
        if self.plain:
            return np.ones(len(positions), np.bool_)
        owners = self.owners
        assert owners is not None
        unchanged = np.zeros(len(self._codes), np.bool_)
        unchanged[owners[0][self._ref_variant <= Variant.INSIDE]] = True
        return np.asarray(unchanged[positions])

    @property
    def entry_keys(self) -> npt.NDArray[np.uint64]:
        """The key of each entry's id, in order of entries. Empty for a plain segment."""
        if self.plain:
            return np.empty(0, np.uint64)
        keys = np.empty(self.entries, np.uint64)
        keys[self._entry_of_key] = self._entry_key
        return keys

    def search(self, query: Codes, radius: int) -> Hits:
        """Returns the codes within ``radius`` of one code (4,)."""
        if self._index is None:
            return scan(self._codes, query, radius)
        return self._index.search(query, radius)

    def references(self, position: int) -> Iterator[Reference]:
        """Yields at most 1,024 places that have the code at ``position``. Unreadable entries are left out."""
        bits = self._codes[position].tobytes()
        if self.plain:
            yield Reference(plain_entry(bits), HashRun(bits))
            return
        first, last = int(self._first[position]), int(self._first[position + 1])
        for ref in range(first, min(last, first + MAX_REFS_PER_CODE)):
            entry = self._table.find(int(self._ref_entry[ref]))
            if entry is not None:
                yield Reference(entry, self._run(ref, bits))

    def find(self, entry_id: str) -> Entry | None:
        """Returns the entry with that id, or None, in logarithmic time."""
        if self.plain:
            bits = plain_bits(entry_id)
            return plain_entry(bits) if bits is not None and self._row(bits) is not None else None
        key = np.uint64(entry_key(entry_id))
        first = np.searchsorted(self._entry_key, key, "left")
        last = np.searchsorted(self._entry_key, key, "right")
        for number in self._entry_of_key[first:last]:
            entry = self._entry(int(number))
            if entry.id == entry_id:
                return entry
        return None

    def _row(self, bits: bytes) -> int | None:
        """Returns the row of a code, or None."""
        wanted = codes_of(bits)[0].tolist()
        place = bisect_left(range(len(self._codes)), wanted, key=lambda i: self._codes[i].tolist())
        return place if place < len(self._codes) and self._codes[place].tolist() == wanted else None

    def entries_named(self, codes: Codes) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each code (n, 4), written in hexadecimal, is the id of an entry. Bool ``(n,)``."""
        found = np.zeros(len(codes), dtype=bool)
        if self.plain:
            first = np.searchsorted(self._codes[:, 0], codes[:, 0], "left")
            last = np.searchsorted(self._codes[:, 0], codes[:, 0], "right")
            likely = np.flatnonzero(first < last)
        else:
            keys = np.array([entry_key(code.tobytes().hex()) for code in codes], dtype=np.uint64)
            at = np.minimum(np.searchsorted(self._entry_key, keys), len(self._entry_key) - 1)
            likely = np.flatnonzero(self._entry_key[at] == keys)
        for number in likely:
            found[number] = self.find(codes[number].tobytes().hex()) is not None
        return found

    def left_of_plain(self, gone: Iterable[str]) -> bytes:
        """Returns the hashes of a plain segment, 32 bytes each, without the removed entries."""
        keep = np.ones(len(self._codes), dtype=bool)
        for entry_id in gone:
            if (bits := plain_bits(entry_id)) is not None and (place := self._row(bits)) is not None:
                keep[place] = False
        return self._codes[keep].tobytes() if not keep.all() else self._codes.tobytes()

    def all_entries(self) -> Iterator[Entry]:
        """Yields every entry without its hashes."""
        for number in range(self.entries):
            yield self._entry(number)

    def footage(self) -> Iterator[Footage]:
        """Yields every entry with its hashes in order of time and its audio."""
        if self.plain:
            for position in range(len(self._codes)):
                ref = next(self.references(position))
                yield Footage(ref.entry, (ref.run,))
            return
        code_of_ref = np.repeat(np.arange(len(self._codes)), np.diff(self._first))
        order = np.lexsort((self._ref_variant, self._ref_start, self._ref_entry))
        bounds = np.searchsorted(self._ref_entry[order], np.arange(self.entries + 1))
        for number in range(self.entries):
            refs = order[bounds[number] : bounds[number + 1]]
            runs = tuple(self._run(int(r), self._codes[code_of_ref[r]].tobytes()) for r in refs)
            sound = None if self.audio is None else self.audio.print_of(number)
            yield Footage(self._entry(number), runs, sound)

    def entry(self, number: int) -> Entry:
        """Returns the entry at ``number``, as ``audio`` counts them.

        Raises BankError when it cannot be read. ``audio`` finds no such entries.
        """
        return self._entry(number)

    def _run(self, ref: int, bits: bytes) -> HashRun:
        return HashRun(
            bits,
            int(self._ref_start[ref]),
            int(self._ref_span[ref]),
            int(self._ref_quality[ref]),
            Variant(int(self._ref_variant[ref])),
        )

    def _entry(self, number: int) -> Entry:
        if self.plain:
            return plain_entry(self._codes[number].tobytes())
        return self._table.read(number)

    def _check(self, path: Path) -> None:
        """Checks that every index that a query follows stays inside its array, even in a hostile file."""
        refs = len(self._ref_entry)
        good = len(self._entry_key) == len(self._entry_of_key) == self.entries
        same = {len(self._ref_start), len(self._ref_span), len(self._ref_quality), len(self._ref_variant)}
        tables = (
            (self._first, len(self._codes), refs),
            (self._entry_first, self.entries, len(self._entry_json)),
        )
        good = good and same == {refs}
        for table, rows, end in tables:
            good = good and len(table) == rows + 1 and int(table[0]) == 0 and int(table[-1]) == end
            good = good and bool((table[1:] >= table[:-1]).all())
        if refs:
            good = good and int(self._ref_entry.max()) < self.entries
            good = good and set(np.unique(self._ref_variant).tolist()) <= set(Variant)
            good = good and int(self._ref_quality.max()) <= 100
            good = good and int(self._entry_of_key.max()) < self.entries
        if not good:
            raise BankError(f"{path}: references do not keep the format")


def open_segment(path: Path, name: SegmentName, *, verify: bool = True) -> Segment:
    """Opens the segment that a manifest names. Raises BankError when it is torn, damaged or another one."""
    segment = Segment.open(path, verify=verify)
    if segment.digest != name.digest:
        raise BankError(f"{path}: not the segment that the manifest names (digest differs)")
    return segment


def _count(path: Path, content: array_file.ArrayFile, name: str) -> int:
    value = content.meta.get(name)
    if not isinstance(value, int) or not 0 <= value <= MAX_CODES:
        raise BankError(f"{path}: header field {name} is {value!r}")
    return value


def _open_index(
    path: Path, content: array_file.ArrayFile, codes: Codes, verify: bool
) -> multi_index.ChunkIndex | None:
    if "slot_first" not in content.arrays:
        if len(codes) > multi_index.SCAN_UP_TO:
            raise BankError(f"{path}: {len(codes)} codes without an index")
        return None
    chunks, width = content.meta.get("chunks"), content.meta.get("width")
    plan = (
        multi_index.SearchPlan(chunks, width) if isinstance(chunks, int) and isinstance(width, int) else None
    )
    if plan is None or not plan.usable:
        raise BankError(f"{path}: the index is cut into {chunks!r} chunks of {width!r} bits")
    for name in ("slot_first", "slot_codes"):
        _array(path, content.arrays, name, np.uint32)
    opened = multi_index.ChunkIndex(codes, plan, content.arrays)
    if verify and not opened.is_intact():
        raise BankError(f"{path}: the index does not keep the format")
    return opened


def _array(path: Path, arrays: Any, name: str, dtype: Any, dimensions: int = 1) -> Any:
    found = arrays.get(name)
    if found is None or found.dtype != dtype or found.ndim != dimensions:
        raise BankError(f"{path}: section {name} is missing or of another type")
    return found
