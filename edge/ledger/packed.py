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

_HEAD = struct.Struct("<qqBB4I4H")
"""created_ms, until_ms, kind, which of the times below follow, four words, lengths of id, subject,
incident id and strike id."""
_TIME = struct.Struct("<q")
_PROVISIONAL, _FULL_UNTIL, _REVIEW_BY = 1, 2, 4
_REVIEW_BY_UNTIL = 8
"""``review_by_ms`` is ``until_ms``, as it is of every block that lapses."""
_OF_ITS_INCIDENT = 16
"""The incident's id follows from the block's, as it does of every block that the gate made."""
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
        strike = (block.strike_id or "").encode()
        flags = _PROVISIONAL if block.provisional else 0
        if block.incident_id is not None and block.incident_id == _incident_of(block.id):
            flags, incident = flags | _OF_ITS_INCIDENT, b""
        review_by_ms = block.review_by_ms
        if review_by_ms == block.until_ms:
            flags, review_by_ms = flags | _REVIEW_BY_UNTIL, None
        times = b""
        for flag, time_ms in ((_FULL_UNTIL, block.full_until_ms), (_REVIEW_BY, review_by_ms)):
            if time_ms is not None:
                flags |= flag
                times += _TIME.pack(time_ms)
        head = _HEAD.pack(
            block.created_ms,
            block.until_ms,
            _KINDS.index(block.subject_kind),
            flags,
            *words,
            len(ident),
            len(subject),
            len(incident),
            len(strike),
        )
        return head + times + ident + subject + incident + strike

    def _unpack(self, row: int) -> Block:
        start = self._starts[row]
        head = _HEAD.unpack_from(self._data, start)
        created_ms, until_ms, kind, flags, app, reason, category, by, *lengths = head
        end = start + _HEAD.size
        times: list[int | None] = []
        for flag in (_FULL_UNTIL, _REVIEW_BY):
            times.append(_TIME.unpack_from(self._data, end)[0] if flags & flag else None)
            end += _TIME.size if flags & flag else 0
        texts = []
        for length in lengths:
            texts.append(self._data[end : end + length].decode("utf-8", "surrogatepass"))
            end += length
        ident, subject, incident, strike = texts
        return Block(
            id=ident,
            subject_kind=_KINDS[kind],
            subject=subject,
            app=self._words[app],
            reason=self._words[reason],
            category=self._words[category],
            created_ms=created_ms,
            until_ms=until_ms,
            incident_id=_incident_of(ident) if flags & _OF_ITS_INCIDENT else incident or None,
            created_by=self._words[by],
            provisional=bool(flags & _PROVISIONAL),
            full_until_ms=times[0],
            review_by_ms=until_ms if flags & _REVIEW_BY_UNTIL else times[1],
            strike_id=strike or None,
        )


def _incident_of(block_id: str) -> str:
    """``in_TAIL`` of ``bl_TAILn``."""
    return f"in_{block_id[3:-1]}"


class _Index:
    """Rows by a 64-bit hash; Python's own, seeded anew in each process, so nobody can aim collisions."""

    def __init__(self, hashes: array[int]) -> None:
        unsorted = np.frombuffer(hashes, dtype=np.uint64)
        order = np.argsort(unsorted, kind="stable")
        self._rows = array("I", order.astype(np.uint32).tobytes())
        self._hashes = array("Q", unsorted[order].tobytes())

    def rows(self, wanted: int) -> Iterator[int]:
        position = bisect_left(self._hashes, wanted)
        while position < len(self._hashes) and self._hashes[position] == wanted:
            yield self._rows[position]
            position += 1


def _subject_hash(kind: SubjectKind, subject: str) -> int:
    return hash((kind.value, subject)) & _MASK
