"""Changes on their way into a bank: new footage in segments that no reader sees yet, marks for what is gone.

Memory stays bounded however long a list is: every half a million hashes become a segment on disk. The
bank's manifest names none of them before the end, so that a reader sees all of a change or nothing.
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
"""Hashes after which what was taken in goes to disk."""


class Existing(StrEnum):
    """What an update does with an entry that the bank has already."""

    REFUSE = "refuse"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An entry that its source has taken back."""

    entry_id: str


Change = Footage | Withdrawal


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did, in entries."""

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    """The bank had them already."""
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Staged:
    """Changes taken in so far, all of them on disk and none of them visible."""

    names: tuple[SegmentName, ...]
    gone: tuple[tuple[str, ...], ...]
    """Per segment that the bank had before, the ids that are gone."""
    updated: Updated


class Stage(Protocol):
    """Where an update keeps how far it got, so that it can go on after an interruption."""

    def restore(self, base: str) -> tuple[Staged, list[Segment]] | None:
        """What was kept, with its segments, when it was built on ``base`` and can be gone on with.

        Called before the first change is asked for, which then has to be the first one not yet in it.
        """
        ...

    def save(self, base: str, staged: Staged) -> None:
        """Keep what was taken in up to the change that was asked for last."""
        ...

    def clear(self) -> None:
        """The update is visible; forget it."""
        ...


class BankUpdate:
    """Takes changes in, in their order. ``write`` makes a segment file, which it names and opens."""

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
        """Hashes named by nothing else, which are looked up in the bank all at once."""
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
        """What has been flushed."""
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
        """The flushed ones, as ``staged`` names them."""
        return self._segments[self._old :]

    def restore(self, staged: Staged, segments: Sequence[Segment]) -> None:
        """Go on from what an earlier intake had flushed; before the first change."""
        self._segments += segments
        self._names += staged.names
        for ids, gone in zip(self._gone, staged.gone, strict=False):
            ids.update(gone)
        self._gone += [set(name.removed) for name in staged.names]
        self.updated = staged.updated

    def take(self, change: Change) -> None:
        """One change; AlreadyExists when the bank has the entry and is to refuse it."""
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
        """Write what has been taken in since the last time as one segment."""
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
        self._builder.add(change)

    def _place(self, entry_id: str) -> int | None:
        """Which segment has the entry."""
        for place, (segment, gone) in enumerate(zip(self._segments, self._gone, strict=True)):
            if entry_id not in gone and segment.find(entry_id) is not None:
                return place
        return None

    def _look_up_plain(self) -> None:
        """Leave out the plain hashes that are entries already."""
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
