"""Builds a segment file from footage."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import InvalidInput, LimitExceeded
from edge.match.audio import audio_index
from edge.match.bank import array_file
from edge.match.entry import AudioPrint, Entry, EntryKind, Footage, HashRun
from edge.match.index import multi_index
from edge.match.index.hamming import Codes, codes_of
from edge.match.pdq.hasher import HASH_BYTES

MAX_CODES = 1 << 26

_PLAIN_ID = re.compile(r"[0-9a-f]{64}")
ENTRY_FIELDS = frozenset(f.name for f in fields(Entry))


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
        """None while the hash of every entry is its only name."""
        self._keys = array("Q")
        self._audio: dict[int, AudioPrint] = {}
        """Sounds by entry number."""

    def __len__(self) -> int:
        """Returns the number of hashes so far."""
        return len(self._entry)

    @property
    def entries(self) -> int:
        return len(self) if self._entries is None else len(self._entries)

    def add_footage(self, footage: Footage) -> None:
        """Adds one entry with its hashes and audio.

        The caller ensures that no id is added twice. Plain entries may repeat. Raises InvalidInput for an
        entry without hashes and audio, and LimitExceeded when the segment would hold over 2²⁶ hashes.
        """
        if not footage.hashes and footage.audio is None:
            raise InvalidInput(f"entry {footage.entry.id!r}", "has neither hashes nor audio")
        if len(self) + len(footage.hashes) > MAX_CODES:
            raise LimitExceeded("bank segment", MAX_CODES, len(self) + len(footage.hashes), "hashes")
        if self._entries is None and not is_plain(footage):
            self._entries = [_dump(plain_entry(bits)) for bits in self._hashes()]
            self._keys = array("Q", (entry_key(bits.hex()) for bits in self._hashes()))
        number = self.entries
        if footage.audio is not None:
            self._audio[number] = footage.audio
        for run in footage.hashes:
            self._codes += run.bits
            self._entry.append(number)
            self._start.append(run.start_ms)
            self._span.append(run.span_ms)
            self._quality.append(run.quality)
            self._variant.append(run.variant)
        if self._entries is not None:
            self._entries.append(_dump(footage.entry))
            self._keys.append(entry_key(footage.entry.id))

    def add_image(self, bits: bytes) -> None:
        """Adds a single image whose hash is its only name."""
        self.add_footage(Footage(plain_entry(bits), (HashRun(bits),)))

    def add_plain(self, hashes: bytes) -> None:
        """Adds many single images at once whose hash is their only name, 32 bytes each.

        Raises InvalidInput when other footage was added before, and LimitExceeded as ``add`` does.
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

    def write_to(self, path: Path) -> str:
        """Writes the segment. Returns its digest."""
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
        if self._audio:
            arrays |= audio_index.build([self._audio.get(number) for number in range(self.entries)])
        plan: multi_index.SearchPlan | None = None
        if len(unique) > multi_index.SCAN_UP_TO:
            plan, buckets = multi_index.build(unique)
            arrays |= buckets
        entries = len(unique) if self._entries is None else self.entries
        meta = {"hashes": len(codes) if self._entries is not None else entries, "entries": entries}
        if plan is not None:
            meta |= {"chunks": plan.chunks, "width": plan.width}
        return array_file.write_arrays(path, meta, arrays)


def unique_codes(codes: Codes) -> tuple[Codes, np.ndarray[Any, np.dtype[np.intp]]]:
    """Returns the distinct rows in a fixed order, and for each row of ``codes`` its index among them."""
    order = np.lexsort(codes.T[::-1])
    ordered = codes[order]
    new = np.ones(len(codes), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(codes), dtype=np.intp)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], inverse


def write_segment(path: Path, footage: Iterable[Footage]) -> str:
    """Writes footage as one segment. Returns its digest."""
    builder = SegmentBuilder()
    for item in footage:
        builder.add_footage(item)
    return builder.write_to(path)


def plain_entry(bits: bytes) -> Entry:
    return Entry(bits.hex(), EntryKind.IMAGE)


def entry_key(entry_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(entry_id.encode(), digest_size=8).digest())


def plain_bits(entry_id: str) -> bytes | None:
    """Returns the hash that a plain entry's id stands for. None for another id."""
    return bytes.fromhex(entry_id) if _PLAIN_ID.fullmatch(entry_id) else None


def is_plain(footage: Footage) -> bool:
    """Whether the footage is a single image whose hash is its only name."""
    hashes = footage.hashes
    return len(hashes) == 1 and footage == Footage(plain_entry(hashes[0].bits), (HashRun(hashes[0].bits),))


def _dump(entry: Entry) -> bytes:
    document = {f: v for f in sorted(ENTRY_FIELDS) if (v := getattr(entry, f))}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
