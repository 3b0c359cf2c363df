"""An immutable part of a bank: unique codes, and for each the places in known footage that have it.

Codes are stored once however many frames share them; every reference names entry, time, span and
variant. A segment of single images that are named by nothing but their hash (a plain PDQ list) stores
the codes alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import BankError, InvalidInput, LimitExceeded
from edge.match import container, index
from edge.match.entry import Entry, EntryKind, Footage, HashRun, Variant
from edge.match.pdq import HASH_BYTES
from edge.match.search import Codes, Hits, codes_of, scan

MAX_CODES = 1 << 26
MAX_REFS_PER_CODE = 1024
"""References of one code that a query looks at; a code shared by more says nothing new."""

_PLAIN_ID = re.compile(r"[0-9a-f]{64}")
_ENTRY_FIELDS = frozenset(f.name for f in fields(Entry))


@dataclass(frozen=True, slots=True)
class Reference:
    """One place that has a code."""

    entry: Entry
    run: HashRun


class SegmentBuilder:
    """Collects footage and writes it as one segment."""

    def __init__(self) -> None:
        self._codes = bytearray()
        self._entry = array("I")
        self._start = array("I")
        self._span = array("I")
        self._quality = bytearray()
        self._variant = bytearray()
        self._entries: list[bytes] | None = None
        """None while every entry is named by its hash alone."""
        self._keys = array("Q")

    def __len__(self) -> int:
        """Hashes so far."""
        return len(self._entry)

    @property
    def entries(self) -> int:
        return len(self) if self._entries is None else len(self._entries)

    def add(self, footage: Footage) -> None:
        """Add one entry with its hashes; LimitExceeded when the segment would hold over 2²⁶.

        The caller sees to it that no id comes twice; hashes that are named by nothing else may.
        """
        if not footage.hashes:
            raise InvalidInput(f"entry {footage.entry.id!r}", "has no hashes")
        if len(self) + len(footage.hashes) > MAX_CODES:
            raise LimitExceeded("bank segment", MAX_CODES, len(self) + len(footage.hashes), "hashes")
        if self._entries is None and not is_plain(footage):
            self._entries = [_dump(_plain_entry(bits)) for bits in self._hashes()]
            self._keys = array("Q", (_key(bits.hex()) for bits in self._hashes()))
        number = self.entries
        for run in footage.hashes:
            self._codes += run.bits
            self._entry.append(number)
            self._start.append(run.start_ms)
            self._span.append(run.span_ms)
            self._quality.append(run.quality)
            self._variant.append(run.variant)
        if self._entries is not None:
            self._entries.append(_dump(footage.entry))
            self._keys.append(_key(footage.entry.id))

    def add_plain(self, hashes: bytes) -> None:
        """Add single images that are named by nothing but their hash, 32 bytes each, many at once.

        Only while nothing else has been added.
        """
        count, rest = divmod(len(hashes), HASH_BYTES)
        if rest or self._entries is not None:
            raise InvalidInput("hashes", "wants a multiple of 32 bytes, before other footage")
        if len(self) + count > MAX_CODES:
            raise LimitExceeded("bank segment", MAX_CODES, len(self) + count, "hashes")
        self._codes += hashes
        zeros = bytes(4 * count)
        for numbers in (self._start, self._span):
            numbers.frombytes(zeros)
        self._entry.extend(range(len(self._entry), len(self._entry) + count))
        self._quality += b"\x64" * count
        self._variant += bytes(count)

    def _hashes(self) -> Iterator[bytes]:
        for start in range(0, len(self._codes), HASH_BYTES):
            yield bytes(self._codes[start : start + HASH_BYTES])

    def write(self, path: Path) -> str:
        """Write the segment; returns its digest."""
        codes = codes_of(bytes(self._codes))
        unique, inverse = unique_codes(codes)
        arrays: dict[str, Any] = {"codes": unique}
        if self._entries is not None:
            order = np.argsort(inverse, kind="stable")
            counts = np.bincount(inverse, minlength=len(unique))
            arrays["ref_first"] = np.concatenate(([0], np.cumsum(counts))).astype(np.uint32)
            for name, values in (("entry", self._entry), ("start", self._start), ("span", self._span)):
                arrays[f"ref_{name}"] = np.frombuffer(values, np.uint32)[order]
            for name, octets in (("quality", self._quality), ("variant", self._variant)):
                arrays[f"ref_{name}"] = np.frombuffer(octets, np.uint8)[order]
            lengths = np.cumsum([0, *map(len, self._entries)], dtype=np.uint64)
            arrays["entry_first"] = lengths
            arrays["entry_json"] = np.frombuffer(b"".join(self._entries), np.uint8)
            by_key = np.argsort(self._keys, kind="stable")
            arrays["entry_key"] = np.frombuffer(self._keys, np.uint64)[by_key]
            arrays["entry_of_key"] = by_key.astype(np.uint32)
        plan: index.Plan | None = None
        if len(unique) > index.SCAN_UP_TO:
            plan, buckets = index.build(unique)
            arrays |= buckets
        entries = len(unique) if self._entries is None else self.entries
        meta = {"hashes": len(codes) if self._entries is not None else entries, "entries": entries}
        if plan is not None:
            meta |= {"chunks": plan.chunks, "width": plan.width}
        return container.write(path, meta, arrays)


class Segment:
    """An opened segment; its arrays are shared, read-only mappings."""

    def __init__(self, path: Path, content: container.Container, *, verify: bool = True) -> None:
        self.path = path
        self.digest = content.digest
        self.size_bytes = content.size_bytes
        self.hashes = _count(path, content, "hashes")
        self.entries = _count(path, content, "entries")
        a = content.arrays
        self._codes: Codes = _array(path, a, "codes", np.uint64, 2)
        if self._codes.shape[1:] != (HASH_BYTES // 8,) or len(self._codes) > MAX_CODES:
            raise BankError(f"{path}: codes have the shape {self._codes.shape}")
        self._index = _open_index(path, content, self._codes, verify)
        self._plain = "ref_first" not in a
        self.variants: frozenset[Variant] = frozenset({Variant.ORIGINAL})
        """The kinds of variants that it holds."""
        if not self._plain:
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
            self.variants = frozenset(Variant(int(v)) for v in np.unique(self._ref_variant))
        elif self.entries != len(self._codes):
            raise BankError(f"{path}: {self.entries} entries for {len(self._codes)} plain codes")

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> Segment:
        """Map and check a segment; BankError when it is not whole."""
        return cls(path, container.read(path, verify=verify), verify=verify)

    def __len__(self) -> int:
        """Unique codes."""
        return len(self._codes)

    @property
    def codes(self) -> Codes:
        return self._codes

    def search(self, query: Codes, radius: int) -> Hits:
        """Codes within ``radius`` of one code (4,)."""
        if self._index is None:
            return scan(self._codes, query, radius)
        return self._index.search(query, radius)

    def references(self, position: int) -> Iterator[Reference]:
        """The places that have the code at ``position``, at most 1,024."""
        bits = self._codes[position].tobytes()
        if self._plain:
            yield Reference(_plain_entry(bits), HashRun(bits))
            return
        first, last = int(self._first[position]), int(self._first[position + 1])
        for ref in range(first, min(last, first + MAX_REFS_PER_CODE)):
            yield Reference(self._entry(int(self._ref_entry[ref])), self._run(ref, bits))

    def find(self, entry_id: str) -> Entry | None:
        """The entry with that id, in logarithmic time."""
        if self._plain:
            return self._find_plain(entry_id)
        key = np.uint64(_key(entry_id))
        first = np.searchsorted(self._entry_key, key, "left")
        last = np.searchsorted(self._entry_key, key, "right")
        for number in self._entry_of_key[first:last]:
            entry = self._entry(int(number))
            if entry.id == entry_id:
                return entry
        return None

    def _find_plain(self, entry_id: str) -> Entry | None:
        if not _PLAIN_ID.fullmatch(entry_id):
            return None
        wanted = codes_of(bytes.fromhex(entry_id))[0].tolist()
        place = bisect_left(range(len(self._codes)), wanted, key=lambda i: self._codes[i].tolist())
        found = place < len(self._codes) and self._codes[place].tolist() == wanted
        return _plain_entry(bytes.fromhex(entry_id)) if found else None

    def all_entries(self) -> Iterator[Entry]:
        """Every entry, without its hashes."""
        for number in range(self.entries):
            yield self._entry(number)

    def footage(self) -> Iterator[Footage]:
        """Every entry with its hashes in order of time."""
        if self._plain:
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
            yield Footage(self._entry(number), runs)

    def _run(self, ref: int, bits: bytes) -> HashRun:
        return HashRun(
            bits,
            int(self._ref_start[ref]),
            int(self._ref_span[ref]),
            int(self._ref_quality[ref]),
            Variant(int(self._ref_variant[ref])),
        )

    def _entry(self, number: int) -> Entry:
        if self._plain:
            return _plain_entry(self._codes[number].tobytes())
        first, last = int(self._entry_first[number]), int(self._entry_first[number + 1])
        try:
            document = json.loads(self._entry_json[first:last].tobytes())
            known = {k: v for k, v in document.items() if k in _ENTRY_FIELDS}
            return Entry(**{**known, "kind": EntryKind(known["kind"])})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BankError(f"{self.path}: entry {number} does not keep the format: {error!r}") from None

    def _check(self, path: Path) -> None:
        """Every index that a query follows stays inside its array, also in a file made to hurt."""
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


def unique_codes(codes: Codes) -> tuple[Codes, np.ndarray[Any, np.dtype[np.intp]]]:
    """Distinct rows in a fixed order, and for each row of ``codes`` its place among them."""
    order = np.lexsort(codes.T[::-1])
    ordered = codes[order]
    new = np.ones(len(codes), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(codes), dtype=np.intp)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], inverse


def write_segment(path: Path, footage: Iterable[Footage]) -> str:
    """Write footage as one segment; returns its digest."""
    builder = SegmentBuilder()
    for item in footage:
        builder.add(item)
    return builder.write(path)


def _plain_entry(bits: bytes) -> Entry:
    return Entry(bits.hex(), EntryKind.IMAGE)


def _key(entry_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(entry_id.encode(), digest_size=8).digest())


def is_plain(footage: Footage) -> bool:
    """Whether it is a single image that is named by nothing but its hash."""
    hashes = footage.hashes
    return len(hashes) == 1 and footage == Footage(_plain_entry(hashes[0].bits), (HashRun(hashes[0].bits),))


def _dump(entry: Entry) -> bytes:
    document = {f: v for f in sorted(_ENTRY_FIELDS) if (v := getattr(entry, f))}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _count(path: Path, content: container.Container, name: str) -> int:
    value = content.meta.get(name)
    if not isinstance(value, int) or not 0 <= value <= MAX_CODES:
        raise BankError(f"{path}: header field {name} is {value!r}")
    return value


def _open_index(
    path: Path, content: container.Container, codes: Codes, verify: bool
) -> index.ChunkIndex | None:
    if "slot_first" not in content.arrays:
        if len(codes) > index.SCAN_UP_TO:
            raise BankError(f"{path}: {len(codes)} codes without an index")
        return None
    plan = index.plan_for(len(codes))
    if (content.meta.get("chunks"), content.meta.get("width")) != (plan.chunks, plan.width):
        raise BankError(f"{path}: the index is not cut as {len(codes)} codes are")
    for name in ("slot_first", "slot_codes"):
        _array(path, content.arrays, name, np.uint32)
    opened = index.ChunkIndex(codes, plan, content.arrays)
    if verify and not opened.sound():
        raise BankError(f"{path}: the index does not keep the format")
    return opened


def _array(path: Path, arrays: Any, name: str, dtype: Any, dimensions: int = 1) -> Any:
    found = arrays.get(name)
    if found is None or found.dtype != dtype or found.ndim != dimensions:
        raise BankError(f"{path}: section {name} is missing or of another type")
    return found
