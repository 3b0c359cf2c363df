"""A bank on disk: one manifest ``NAME.bank`` and the immutable segments that it names.

Every change writes new segments first and then replaces the manifest in one step, so a reader sees
the bank before or after the change and never between. Removing or disabling an entry only marks it in
the manifest; ``compact`` writes what is left into one segment. Writers exclude each other by a lock
file; readers need none.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError

from edge.errors import AlreadyExists, BankError, InvalidInput, LimitExceeded, NotFound
from edge.match.entry import Entry, Footage
from edge.match.manifest import (
    MAX_MARKED,
    SUFFIX,
    BankInfo,
    Manifest,
    SegmentName,
    bank_path,
    read_manifest,
    write_manifest,
)
from edge.match.segment import Segment, SegmentBuilder, is_plain

COMPACT_AT = 8
"""Segments beyond which adding more merges the small ones."""
_OPEN_TRIES = 5


class Existing(StrEnum):
    """What an update does with an entry that the bank has already."""

    REFUSE = "refuse"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An entry that its source has taken back."""

    entry_id: str


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did, in entries."""

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    """The bank had them already."""
    removed: int = 0


class Bank:
    """A bank opened for reading and changing. Open it anew to see what other processes changed."""

    def __init__(self, path: Path, manifest: Manifest, digest: str, segments: tuple[Segment, ...]) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest
        """SHA-256 of the manifest, which names each segment by its digest: it stands for the whole."""
        self.segments = segments
        self.removed = tuple(frozenset(name.removed) for name in manifest.segments)
        """Per segment the ids of the entries that are gone."""

    @classmethod
    def create(cls, path: Path, info: BankInfo | None = None) -> Self:
        """Make an empty bank at ``DIR/NAME`` or ``DIR/NAME.bank``; AlreadyExists when there is one."""
        path = bank_path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if path.exists():
                raise AlreadyExists(f"bank {path} exists already")
            write_manifest(path, Manifest(name=path.name.removesuffix(SUFFIX), info=info or BankInfo()))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, verify: bool = True, known: Iterable[Segment] = ()) -> Self:
        """Open a bank; segments among ``known`` are taken over instead of being mapped again.

        Raises NotFound when there is none and BankError when a file is torn, foreign, damaged or of
        another version.
        """
        path = bank_path(path)
        mapped = {s.digest: s for s in known}
        for attempt in range(1, _OPEN_TRIES + 1):
            manifest, digest = read_manifest(path)
            try:
                segments = tuple(
                    mapped.get(name.digest) or _open_segment(path.parent / name.file, name, verify)
                    for name in manifest.segments
                )
            except BankError:
                # A compaction may have replaced the segments since the manifest was read.
                if attempt == _OPEN_TRIES or read_manifest(path)[1] == digest:
                    raise
                continue
            return cls(path, manifest, digest, segments)
        raise AssertionError("unreachable")

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def info(self) -> BankInfo:
        return self.manifest.info

    def entries(self) -> Iterator[tuple[Entry, bool]]:
        """Every entry that is not removed, and whether it is enabled."""
        disabled = set(self.manifest.disabled)
        for segment, removed in zip(self.segments, self.removed, strict=True):
            for entry in segment.all_entries():
                if entry.id not in removed:
                    yield entry, entry.id not in disabled

    def has(self, entry_id: str) -> bool:
        """Whether the bank has an entry of that id that is not removed."""
        return self._place(entry_id) is not None

    def footage(self) -> Iterator[Footage]:
        """Every entry that is not removed, with its hashes."""
        for segment, removed in zip(self.segments, self.removed, strict=True):
            for item in segment.footage():
                if item.entry.id not in removed:
                    yield item

    def add(self, items: Iterable[Footage]) -> int:
        """Add footage, all of it or, when anything is wrong, none. Returns the number of entries added.

        AlreadyExists names the first entry whose id the bank already has.
        """
        return self.update(items).added

    def update(
        self,
        changes: Iterable[Footage | Withdrawal],
        *,
        existing: Existing = Existing.REFUSE,
        checkpoints: Callable[[], Mapping[str, str]] = dict,
    ) -> Updated:
        """Take in additions and withdrawals in their order, all in one step or none.

        ``checkpoints`` is asked when the changes are at their end, so that a feed's position is stored
        together with what came before it. A withdrawal of an entry that is not there is no error.
        """
        with self._changing():
            builder, ids = SegmentBuilder(), set[str]()
            gone: list[set[str]] = [set() for _ in self.segments]
            gone_anew = set[str]()
            added = replaced = skipped = removed = 0
            for change in changes:
                if isinstance(change, Withdrawal):
                    if change.entry_id in ids - gone_anew:
                        gone_anew.add(change.entry_id)
                        added -= 1
                    elif (place := self._place(change.entry_id)) is not None:
                        removed += change.entry_id not in gone[place]
                        gone[place].add(change.entry_id)
                    continue
                entry_id = change.entry.id
                place = self._place(entry_id)
                if place is not None and entry_id in gone[place]:
                    place = None
                if entry_id in ids or place is not None:
                    if existing is Existing.REFUSE:
                        raise AlreadyExists(f"bank {self.name} has an entry {entry_id!r} already")
                    if existing is Existing.SKIP or place is None or entry_id in ids or is_plain(change):
                        skipped += 1
                        continue
                    gone[place].add(entry_id)
                    replaced += 1
                else:
                    added += 1
                if not is_plain(change):
                    ids.add(entry_id)
                builder.add(change)
            self._store(builder, gone, gone_anew, checkpoints())
            if len(self.segments) > COMPACT_AT:
                self._merge(_small_ones(self.segments))
        return Updated(added, replaced, skipped, removed)

    def _store(
        self,
        builder: SegmentBuilder,
        gone: Sequence[set[str]],
        gone_anew: set[str],
        checkpoints: Mapping[str, str],
    ) -> None:
        if sum(map(len, (*self.removed, *gone, gone_anew))) > MAX_MARKED:
            self._merge(self.segments, gone)
            gone = [set()] * len(self.segments)
        names = [
            name.model_copy(update={"removed": tuple(sorted({*name.removed, *ids}))})
            for name, ids in zip(self.manifest.segments, gone, strict=True)
        ]
        if builder.entries:
            written = self._write_segment(builder)
            names.append(written.model_copy(update={"removed": tuple(sorted(gone_anew))}))
        self._commit({"segments": names, "checkpoints": {**self.manifest.checkpoints, **checkpoints}})

    def set_enabled(self, ids: Iterable[str], enabled: bool) -> None:
        """Enable or disable entries; NotFound names the first id that is not there."""
        self._mark("disabled", ids, not enabled)

    def set_quarantined(self, ids: Iterable[str], quarantined: bool) -> None:
        """Quarantine entries or release them; NotFound names the first id that is not there."""
        self._mark("quarantined", ids, quarantined)

    def _mark(self, mark: Literal["disabled", "quarantined"], ids: Iterable[str], on: bool) -> None:
        with self._changing():
            wanted = self._known(ids)
            marked = set(getattr(self.manifest, mark))
            self._commit({mark: _marked(f"bank.{mark}", marked | wanted if on else marked - wanted)})

    def remove(self, ids: Iterable[str]) -> None:
        """Remove entries; NotFound names the first id that is not there."""
        wanted = self._known(ids)
        self.update(Withdrawal(entry_id) for entry_id in sorted(wanted))

    def change(self, info: BankInfo) -> None:
        """Replace what operators say about the bank."""
        with self._changing():
            self._commit({"info": info})

    def compact(self) -> None:
        """Write what is left into one segment, and drop the old ones.

        Running gates keep what they have mapped until they reload. Ten million hashes take half a
        minute and 3 GB; adding merges small segments by itself.
        """
        with self._changing():
            self._merge(self.segments)

    def _known(self, ids: Iterable[str]) -> set[str]:
        wanted = set(ids)
        for entry_id in sorted(wanted):
            if self._place(entry_id) is None:
                raise NotFound(f"entry of bank {self.name}", entry_id)
        return wanted

    def _place(self, entry_id: str) -> int | None:
        """Which segment has the entry."""
        for place, (segment, removed) in enumerate(zip(self.segments, self.removed, strict=True)):
            if entry_id not in removed and segment.find(entry_id) is not None:
                return place
        return None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the writers' lock, on the newest state; a change that fails leaves no segment behind."""
        with _locked(self.path):
            self._take(type(self).open(self.path, known=self.segments))
            before = {segment.path for segment in self.segments}
            try:
                yield
            except BaseException:
                manifest, _ = read_manifest(self.path)
                named = {name.file for name in manifest.segments}
                for path in {segment.path for segment in self.segments} - before:
                    if path.name not in named:
                        path.unlink(missing_ok=True)
                raise

    def _take(self, other: Bank) -> None:
        self.manifest, self.digest, self.segments = other.manifest, other.digest, other.segments
        self.removed = other.removed

    def _write_segment(self, builder: SegmentBuilder) -> SegmentName:
        file = f"{self.name}-{self.manifest.generation + 1:06d}.seg"
        digest = builder.write(self.path.parent / file)
        segment = Segment.open(self.path.parent / file, verify=False)
        self.segments = (*self.segments, segment)
        return SegmentName(file=file, digest=digest, hashes=segment.hashes, entries=segment.entries)

    def _merge(self, old: Sequence[Segment], gone: Sequence[set[str]] | None = None) -> None:
        """Replace segments by one that holds what is left of them.

        ``gone``: per segment of the bank, ids to leave out besides those that are removed already.
        """
        builder = SegmentBuilder()
        more = gone or [set()] * len(self.segments)
        for segment, removed, ids in zip(self.segments, self.removed, more, strict=True):
            if segment in old:
                for item in segment.footage():
                    if item.entry.id not in removed and item.entry.id not in ids:
                        builder.add(item)
        files = {segment.path.name for segment in old}
        kept = tuple(name for name in self.manifest.segments if name.file not in files)
        added = (self._write_segment(builder),) if len(builder) else ()
        self._commit({"segments": (*kept, *added)})
        for file in files:
            (self.path.parent / file).unlink(missing_ok=True)

    def _commit(self, changed: dict[str, Any]) -> None:
        fields = dict(self.manifest) | changed | {"generation": self.manifest.generation + 1}
        try:
            manifest = Manifest.model_validate(fields)
        except ValidationError as error:
            raise InvalidInput(f"bank {self.name}", str(error.errors(include_url=False)[0]["msg"])) from None
        write_manifest(self.path, manifest)
        self._take(type(self).open(self.path, verify=False, known=self.segments))


def _open_segment(path: Path, name: SegmentName, verify: bool) -> Segment:
    segment = Segment.open(path, verify=verify)
    if segment.digest != name.digest:
        raise BankError(f"{path}: not the segment that the manifest names (digest differs)")
    return segment


def _small_ones(segments: Sequence[Segment]) -> Sequence[Segment]:
    """All but the largest, until together they are half of it: each hash is rewritten few times."""
    ordered = sorted(segments, key=lambda s: s.hashes)
    small, largest = ordered[:-1], ordered[-1]
    return ordered if sum(s.hashes for s in small) * 2 >= largest.hashes else small


def _marked(field: str, ids: set[str]) -> tuple[str, ...]:
    if len(ids) > MAX_MARKED:
        raise LimitExceeded(field, MAX_MARKED, len(ids), "entries")
    return tuple(sorted(ids))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
