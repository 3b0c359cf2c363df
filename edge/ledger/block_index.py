"""A compact immutable index of blocks by subject and by id. It holds what the ledger held at the start.

A million blocks as Python objects would take most of a gigabyte. Every full garbage collection would then
stop the event loop for seconds. Packed, they are a handful of flat arrays.
"""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.confusables import skeleton
from edge.domain import PERMANENT_MS, Block, SubjectKind
from edge.ledger.subjects import BARS_WHOEVER, UNLISTED_KIND, lookup_key
from edge.names import compared

BLOCK_COLUMNS = (
    "id",
    "subject_kind",
    "subject",
    "app",
    "reason",
    "category",
    "created_ms",
    "until_ms",
    "incident_id",
    "created_by",
    "provisional",
    "full_until_ms",
    "review_by_ms",
    "strike_id",
)
"""The fields of a block that the index keeps. ``Block`` and the ledger's columns share these names."""
BlockRow = Sequence[Any]
"""The values of an active block in the order of ``BLOCK_COLUMNS``, its kind as a plain string.

Reading a million rows takes a third of the time of making a million objects.
"""

_HEAD = struct.Struct("<qBBIH")
"""created_ms, kind, flags, index into ``_words``, length of the subject in bytes."""
_TIME = struct.Struct("<q")
_LENGTH = struct.Struct("<H")
_PROVISIONAL, _FULL_UNTIL, _REVIEW_BY = 1, 2, 4
_REVIEW_BY_UNTIL = 8
"""``review_by_ms`` equals ``until_ms``, as in every block that lapses."""
_OF_ITS_INCIDENT = 16
"""The incident's id follows from the block's id, as in every block that the gate made."""
_OUR_ID = 32
"""The id has our own form: 16 bytes, then a digit or a space."""
_INCIDENT, _STRIKE = 64, 128
_ID = re.compile(r"bl_([0-9a-f]{32})([0-9]?)")
_MASK = (1 << 64) - 1
_MOST_KINDS = 256
_UNKNOWN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, struct.error)
"""What a row of other types, or over the bounds, raises."""
Unknown = Callable[[BlockRow, str], None]
row_of = attrgetter(*BLOCK_COLUMNS)
"""Makes a ``BlockRow`` of a ``Block``."""
_Words = tuple[str, str, str, str]


class BlockIndex:
    """Blocks by subject and by id. Immutable.

    ``rows`` are active blocks, each id once. A row's number is its position among them.
    """

    def __init__(self, rows: Iterable[BlockRow], unknown: Unknown = lambda row, why: None) -> None:
        """``unknown`` is told of each row that is left out because it cannot be read, and of each block of an
        unknown kind."""
        self._words: list[_Words] = []
        """App, reason, category and creator, stored once for all blocks that share them."""
        self._data = bytearray()
        self.broadcasters = 0
        """Number of blocks of broadcasters."""
        starts, untils = array("Q"), array("q")
        subjects, ids, shapes = array("Q"), array("Q"), array("Q")
        self._kinds = list(SubjectKind)
        """The listed kinds, then those of newer gates."""
        self.unlisted = 0
        """Number of blocks of kinds that only a newer gate knows."""
        data, pack = self._data, _Packer(self._words, self._kinds).pack
        for row in rows:
            try:
                packed = pack(row)
                until_ms = min(row[7], PERMANENT_MS)
                kind, key = lookup_key(row[1], row[2])
                named = kind == SubjectKind.BROADCASTER
                shape = hash(skeleton(compared(row[2]))) & _MASK if named else 0
                untils.append(until_ms)
            except _UNKNOWN as error:
                unknown(row, f"{type(error).__name__}: {error}; it is skipped")
                continue
            if kind == UNLISTED_KIND:
                self.unlisted += 1
                unknown(row, f"subject_kind {row[1]!r} is not known here; {BARS_WHOEVER}")
            starts.append(len(data))
            subjects.append(hash((kind, key)) & _MASK)
            ids.append(hash(row[0]) & _MASK)
            self.broadcasters += named
            shapes.append(shape)
            data += packed
        self._starts = starts
        self.until_ms: npt.NDArray[np.int64] = np.frombuffer(untils, dtype=np.int64)
        """End of each block by row, int64 milliseconds."""
        self._by_subject = _Index(subjects)
        self._by_id = _Index(ids)
        self._by_skeleton = _Index(shapes)

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, kind: str, key: str) -> Iterator[tuple[int, Block]]:
        """Yields row number and block for each block with this ``lookup_key``."""
        for row in self._by_subject.rows(hash((kind, key)) & _MASK):
            block = self._unpack(row)
            if lookup_key(block.subject_kind, block.subject) == (kind, key):
                yield row, block

    def find_alike(self, shape: str) -> Iterator[tuple[int, Block]]:
        """Yields row number and block for each block whose broadcaster's name has this ``skeleton``."""
        for row in self._by_skeleton.rows(hash(shape) & _MASK):
            block = self._unpack(row)
            if block.subject_kind is SubjectKind.BROADCASTER and skeleton(compared(block.subject)) == shape:
                yield row, block

    def row_of(self, block_id: str) -> int | None:
        for row in self._by_id.rows(hash(block_id) & _MASK):
            if self._unpack(row).id == block_id:
                return row
        return None

    def _unpack(self, row: int) -> Block:
        start = self._starts[row]
        created_ms, kind, flags, number, length = _HEAD.unpack_from(self._data, start)
        at = start + _HEAD.size + length
        subject = self._data[start + _HEAD.size : at].decode("utf-8", "surrogatepass")
        until_ms = int(self.until_ms[row])
        times: list[int | None] = []
        for flag in (_FULL_UNTIL, _REVIEW_BY):
            times.append(_TIME.unpack_from(self._data, at)[0] if flags & flag else None)
            at += _TIME.size if flags & flag else 0
        if flags & _OUR_ID:
            ident = f"bl_{self._data[at : at + 16].hex()}{chr(self._data[at + 16])}".rstrip(" ")
            at += 17
        else:
            ident, at = self._text(at)
        texts: list[str | None] = []
        for flag in (_INCIDENT, _STRIKE):
            text, at = self._text(at) if flags & flag else (None, at)
            texts.append(text)
        app, reason, category, created_by = self._words[number]
        return Block(
            id=ident,
            subject_kind=self._kinds[kind],
            subject=subject,
            app=app,
            reason=reason,
            category=category,
            created_ms=created_ms,
            until_ms=until_ms,
            incident_id=_incident_of(ident) if flags & _OF_ITS_INCIDENT else texts[0],
            created_by=created_by,
            provisional=bool(flags & _PROVISIONAL),
            full_until_ms=times[0],
            review_by_ms=until_ms if flags & _REVIEW_BY_UNTIL else times[1],
            strike_id=texts[1],
        )

    def _text(self, at: int) -> tuple[str, int]:
        """Reads a length-prefixed text. Returns it with the position of its end."""
        (length,) = _LENGTH.unpack_from(self._data, at)
        end = at + _LENGTH.size + length
        return self._data[at + _LENGTH.size : end].decode("utf-8", "surrogatepass"), end


class _Packer:
    """Packs rows into bytes. Raises one of ``_UNKNOWN`` for a row that is not as the gate writes them."""

    def __init__(self, words: list[_Words], kinds: list[SubjectKind]) -> None:
        """Appends to both what is new."""
        self._words = words
        self._kinds = kinds
        self._kind_numbers = {kind.value: number for number, kind in enumerate(kinds)}
        self._numbers: dict[_Words, int] = {}

    def pack(self, row: BlockRow) -> bytes:
        (
            ident,
            kind,
            subject,
            app,
            reason,
            category,
            created_ms,
            until_ms,
            incident_id,
            created_by,
            provisional,
            full_until_ms,
            review_by_ms,
            strike_id,
        ) = row
        for text in (ident, kind, subject, app, reason, category, created_by):
            if type(text) is not str and not isinstance(text, str):
                raise TypeError(f"{text!r} is no text"[:80])
        words = (app, reason, category, created_by)
        number = self._numbers.get(words)
        if number is None:
            number = self._numbers[words] = len(self._words)
            self._words.append(words)
        flags = _PROVISIONAL if provisional else 0
        rest = b""
        if full_until_ms is not None:
            flags |= _FULL_UNTIL
            rest = _TIME.pack(full_until_ms)
        if review_by_ms is not None:
            if review_by_ms == until_ms:
                flags |= _REVIEW_BY_UNTIL
            else:
                flags |= _REVIEW_BY
                rest += _TIME.pack(review_by_ms)
        ours = _ID.fullmatch(ident)
        if ours is None:
            rest += _counted(ident)
        else:
            flags |= _OUR_ID
            rest += bytes.fromhex(ours[1]) + (ours[2] or " ").encode()
        if incident_id is not None:
            if incident_id == _incident_of(ident):
                flags |= _OF_ITS_INCIDENT
            else:
                flags |= _INCIDENT
                rest += _counted(incident_id)
        if strike_id is not None:
            flags |= _STRIKE
            rest += _counted(strike_id)
        name: bytes = subject.encode("utf-8", "surrogatepass")
        return _HEAD.pack(created_ms, self._number_of(kind), flags, number, len(name)) + name + rest

    def _number_of(self, kind: str) -> int:
        number = self._kind_numbers.get(kind)
        if number is None:
            number = len(self._kinds)
            if number == _MOST_KINDS:
                raise ValueError(f"subject_kind {kind[:32]!r}: one unknown kind more than {_MOST_KINDS}")
            self._kinds.append(SubjectKind(kind))
            self._kind_numbers[kind] = number
        return number


def _counted(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(encoded)) + encoded


def _incident_of(block_id: str) -> str:
    """``in_TAIL`` for the block id ``bl_TAILn``."""
    return f"in_{block_id[3:-1]}"


class _Index:
    """Row numbers by a 64-bit hash. Python seeds its hash anew in each process, so nobody can aim
    collisions."""

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
