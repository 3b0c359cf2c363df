"""Many blocks in little memory, found by subject or by id: what the ledger held when the gate started.

A million blocks as objects would take most of a gigabyte, and make every full garbage collection
stop the event loop for seconds. Packed, they are a handful of flat arrays.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from edge.domain import Block, SubjectKind

_HEAD = struct.Struct("<qqB4I3H")
"""created_ms, until_ms, kind, four words, lengths of id, subject and incident id."""
_MASK = (1 << 64) - 1
_KINDS = tuple(SubjectKind)


class PackedBlocks:
    """Immutable. ``blocks``: standing ones, each id once. A row is a block's position in them."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._words: list[str] = []
        """Texts that many blocks share: apps, reasons, categories, people."""
        self._data = bytearray()
        numbers: dict[str, int] = {}
        starts, untils = array("Q"), array("q")
        subjects, ids = array("Q"), array("Q")
        for block in blocks:
            starts.append(len(self._data))
            untils.append(block.until_ms)
            subjects.append(_subject_hash(block.subject_kind, block.subject))
            ids.append(hash(block.id) & _MASK)
            self._data += self._pack(block, numbers)
        self._starts = starts
        self.until_ms: npt.NDArray[np.int64] = np.frombuffer(untils, dtype=np.int64)
        """By row."""
        self._by_subject = _Index(subjects)
        self._by_id = _Index(ids)

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, kind: SubjectKind, subject: str) -> Iterator[tuple[int, Block]]:
        """Every row and block that names the subject."""
        for row in self._by_subject.rows(_subject_hash(kind, subject)):
            block = self._unpack(row)
            if block.subject_kind is kind and block.subject == subject:
                yield row, block

    def row_of(self, block_id: str) -> int | None:
        for row in self._by_id.rows(hash(block_id) & _MASK):
            if self._unpack(row).id == block_id:
                return row
        return None

    def _pack(self, block: Block, numbers: dict[str, int]) -> bytes:
        words = []
        for text in (block.app, block.reason, block.category, block.created_by):
            number = numbers.setdefault(text, len(numbers))
            if number == len(self._words):
                self._words.append(text)
            words.append(number)
        ident = block.id.encode()
        subject = block.subject.encode("utf-8", "surrogatepass")
        incident = (block.incident_id or "").encode()
        head = _HEAD.pack(
            block.created_ms,
            block.until_ms,
            _KINDS.index(block.subject_kind),
            *words,
            len(ident),
            len(subject),
            len(incident),
        )
        return head + ident + subject + incident

    def _unpack(self, row: int) -> Block:
        start = self._starts[row]
        created_ms, until_ms, kind, app, reason, category, by, *lengths = _HEAD.unpack_from(self._data, start)
        end = start + _HEAD.size
        texts = []
        for length in lengths:
            texts.append(self._data[end : end + length].decode("utf-8", "surrogatepass"))
            end += length
        ident, subject, incident = texts
        return Block(
            id=ident,
            subject_kind=_KINDS[kind],
            subject=subject,
            app=self._words[app],
            reason=self._words[reason],
            category=self._words[category],
            created_ms=created_ms,
            until_ms=until_ms,
            incident_id=incident or None,
            created_by=self._words[by],
        )


class _Index:
    """Rows by a 64-bit hash; Python's own, seeded anew in each process, so nobody can aim collisions."""

    def __init__(self, hashes: array[int]) -> None:
        unsorted = np.frombuffer(hashes, dtype=np.uint64)
        order = np.argsort(unsorted, kind="stable")
        self._rows = array("Q", order.astype(np.uint64).tobytes())
        self._hashes = array("Q", unsorted[order].tobytes())

    def rows(self, wanted: int) -> Iterator[int]:
        position = bisect_left(self._hashes, wanted)
        while position < len(self._hashes) and self._hashes[position] == wanted:
            yield self._rows[position]
            position += 1


def _subject_hash(kind: SubjectKind, subject: str) -> int:
    return hash((kind.value, subject)) & _MASK
