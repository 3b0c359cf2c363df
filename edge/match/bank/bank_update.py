"""Stages changes of a bank: new footage in segments that no reader sees yet, and marks for removed entries.

Memory is bounded for lists of any length: every half a million hashes become a segment on disk. The bank's
manifest names these segments only at the end. So a reader sees all of a change or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from edge.errors import AlreadyExists
from edge.match.bank.manifest import SegmentName
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import SegmentBuilder, is_plain, plain_bits
from edge.match.entry import Footage
from edge.match.index.hamming import codes_of

CHUNK_HASHES = 1 << 19
"""Number of hashes after which the changes are flushed to disk."""


class Existing(StrEnum):
    """How an update treats an entry that the bank already has."""

    REFUSE = "refuse"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An entry that its source has withdrawn."""

    entry_id: str


Change = Footage | Withdrawal


@dataclass(frozen=True, slots=True)
class Updated:
    """The result of an update, in numbers of entries."""

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    """Entries that the bank already had."""
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Staged:
    """The changes so far. All are on disk and none is visible."""

    names: tuple[SegmentName, ...]
    gone: tuple[tuple[str, ...], ...]
    """Ids removed by the update, for each segment that the bank had before."""
    updated: Updated


class Stage(Protocol):
    """Keeps the progress of an update, so that it can resume after an interruption."""

    def restore(self, base: str) -> tuple[Staged, list[Segment]] | None:
        """Returns the kept progress and its segments, if it was built on ``base`` and can be resumed.

        It is called before the first change is read. Reading must then start after the changes that are kept.
        """
        ...

    def save(self, base: str, staged: Staged) -> None:
        """Keeps the progress up to the change that was read last."""
        ...

    def clear(self) -> None:
        """Forgets the progress, because the update is visible."""
        ...


class BankUpdate:
    """Stages changes in order. ``write`` writes a segment file and returns its name and the opened
    segment."""

    def __init__(
        self,
        bank: str,
        segments: Sequence[Segment],
        removed: Sequence[frozenset[str]],
        existing: Existing,
        write: Callable[[SegmentBuilder], tuple[SegmentName, Segment]],
    ) -> None:
        self._bank = bank
        self._existing = existing
        self._write = write
        self._old = len(segments)
        self._segments = list(segments)
        self._gone = [set(ids) for ids in removed]
        self._removed = tuple(removed)
        self._names: list[SegmentName] = []
        self._plain: dict[bytes, None] = {}
        """Hashes of plain entries. They are looked up in the bank all at once."""
        self._builder = SegmentBuilder()
        self._ids: set[str] = set()
        self._gone_anew: set[str] = set()
        self._changes = 0
        self.updated = Updated()

    @property
    def full(self) -> bool:
        return max(len(self._plain) + len(self._builder), self._changes) >= CHUNK_HASHES

    @property
    def staged(self) -> Staged:
        """The flushed changes."""
        names = [
            name.model_copy(update={"removed": tuple(sorted(ids))})
            for name, ids in zip(self._names, self._gone[self._old :], strict=True)
        ]
        gone = [
            tuple(sorted(ids - before))
            for ids, before in zip(self._gone[: self._old], self._removed, strict=True)
        ]
        return Staged(tuple(names), tuple(gone), self.updated)

    @property
    def new_segments(self) -> Sequence[Segment]:
        """The flushed segments, in the order of ``staged.names``."""
        return self._segments[self._old :]

    def restore(self, staged: Staged, segments: Sequence[Segment]) -> None:
        """Resumes from the flushed changes of an earlier update. Call it before the first change."""
        self._segments += segments
        self._names += staged.names
        for ids, gone in zip(self._gone, staged.gone, strict=False):
            ids.update(gone)
        self._gone += [set(name.removed) for name in staged.names]
        self.updated = staged.updated

    def take(self, change: Change) -> None:
        """Stages one change. Raises AlreadyExists when the bank has the entry and ``existing`` is REFUSE."""
        self._changes += 1
        if isinstance(change, Withdrawal):
            self._withdraw(change.entry_id)
        elif is_plain(change):
            bits = change.hashes[0].bits
            if bits in self._plain or change.entry.id in self._ids - self._gone_anew:
                self._count(skipped=1)
            else:
                self._plain[bits] = None
        else:
            self._add(change)

    def flush(self) -> None:
        """Writes the changes since the last flush as one segment."""
        self._changes = 0
        self._look_up_plain()
        if self._plain:
            self._count(added=len(self._plain))
            if self._builder.entries:
                for bits in self._plain:
                    self._builder.add_image(bits)
            else:
                self._builder.add_plain(b"".join(self._plain))
        if self._builder.entries:
            name, segment = self._write(self._builder)
            self._names.append(name)
            self._segments.append(segment)
            self._gone.append(self._gone_anew)
        self._plain, self._builder = {}, SegmentBuilder()
        self._ids, self._gone_anew = set(), set()

    def _withdraw(self, entry_id: str) -> None:
        if entry_id in self._ids:
            if entry_id not in self._gone_anew:
                self._gone_anew.add(entry_id)
                self._count(added=-1)
            return
        self._plain.pop(plain_bits(entry_id) or b"", None)
        place = self._place(entry_id)
        if place is None:
            return
        self._gone[place].add(entry_id)
        if place < self._old:
            self._count(removed=1)
        else:
            self._count(added=-1)

    def _add(self, change: Footage) -> None:
        entry_id = change.entry.id
        if entry_id in self._gone_anew:
            self.flush()
        place = self._place(entry_id)
        here = entry_id in self._ids or plain_bits(entry_id) in self._plain
        if place is not None or here:
            if self._existing is Existing.REFUSE:
                raise AlreadyExists(f"bank {self._bank} has an entry {entry_id!r} already")
            if self._existing is Existing.SKIP or here or place is None or place >= self._old:
                self._count(skipped=1)
                return
            self._gone[place].add(entry_id)
            self._count(replaced=1)
        else:
            self._count(added=1)
        self._ids.add(entry_id)
        self._builder.add_footage(change)

    def _place(self, entry_id: str) -> int | None:
        """Returns the index of the segment that has the entry."""
        for place, (segment, gone) in enumerate(zip(self._segments, self._gone, strict=True)):
            if entry_id not in gone and segment.find(entry_id) is not None:
                return place
        return None

    def _look_up_plain(self) -> None:
        """Drops the plain hashes that are already entries."""
        if not self._plain or not self._segments:
            return
        codes = codes_of(b"".join(self._plain))
        known = np.zeros(len(codes), dtype=bool)
        for segment, gone in zip(self._segments, self._gone, strict=True):
            for number in np.flatnonzero(segment.entries_named(codes) & ~known):
                known[number] = codes[number].tobytes().hex() not in gone
        if not known.any():
            return
        if self._existing is Existing.REFUSE:
            first = codes[int(known.argmax())].tobytes().hex()
            raise AlreadyExists(f"bank {self._bank} has an entry {first!r} already")
        self._count(skipped=int(known.sum()))
        self._plain = {
            bits: None for bits, there in zip(self._plain, known.tolist(), strict=True) if not there
        }

    def _count(self, *, added: int = 0, replaced: int = 0, skipped: int = 0, removed: int = 0) -> None:
        now = self.updated
        self.updated = replace(
            now,
            added=now.added + added,
            replaced=now.replaced + replaced,
            skipped=now.skipped + skipped,
            removed=now.removed + removed,
        )
