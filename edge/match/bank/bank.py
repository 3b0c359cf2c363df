"""A bank on disk: one manifest ``NAME.bank`` and the immutable segments that it names.

Every change first writes new segments and then replaces the manifest atomically. So a reader sees the bank
before or after the change, never in between. Removing or disabling an entry only marks it in the manifest.
``compact`` writes the remaining entries into one segment. Writers exclude each other by a lock file.
Readers need no lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError

from edge.durable_files import link_file
from edge.errors import AlreadyExists, BankError, InvalidInput, LimitExceeded, NotFound
from edge.match.bank.bank_update import BankUpdate, Change, Existing, Stage, Staged, Updated, Withdrawal
from edge.match.bank.manifest import (
    CHANGED_BY,
    MAX_MARKED,
    SUFFIX,
    BankInfo,
    BankManifest,
    SegmentName,
    bank_path,
    read_manifest,
    write_manifest,
)
from edge.match.bank.mark_notes import THE_BANK, MarkNote, write_notes
from edge.match.bank.privacy import give_to_owner_of, make_private
from edge.match.bank.segment import Segment, open_segment
from edge.match.bank.segment_builder import SegmentBuilder
from edge.match.entry import Entry, Footage

COMPACT_AT = 8
"""Number of segments above which an update merges the small ones."""
_OPEN_TRIES = 5


class Bank:
    """A bank opened for reading and changing. Reopen it to see the changes of other processes."""

    def __init__(
        self, path: Path, manifest: BankManifest, digest: str, segments: tuple[Segment, ...]
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest
        """SHA-256 of the manifest. It covers the segments too, because the manifest names them by digest."""
        self.segments = segments
        self.removed = tuple(frozenset(name.removed) for name in manifest.segments)
        """Ids of the removed entries, by segment."""

    @classmethod
    def create(cls, path: Path, info: BankInfo | None = None) -> Self:
        """Creates an empty bank at ``DIR/NAME`` or ``DIR/NAME.bank``. Raises AlreadyExists when there is
        one."""
        path = bank_path(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path):
            if path.exists():
                raise AlreadyExists(f"bank {path} exists already")
            write_manifest(path, BankManifest(name=path.name.removesuffix(SUFFIX), info=info or BankInfo()))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, verify: bool = True, known: Iterable[Segment] = ()) -> Self:
        """Opens a bank. Segments among ``known`` are reused where their files are still the same.

        Raises NotFound when there is no such bank, and BankError when a file is torn, foreign, damaged or
        of another version.
        """
        path = bank_path(path)
        mapped = {(s.path, s.digest): s for s in known if s.is_current()}
        for attempt in range(1, _OPEN_TRIES + 1):
            manifest, digest = read_manifest(path)
            try:
                segments = tuple(
                    mapped.get((path.parent / name.file, name.digest))
                    or open_segment(path.parent / name.file, name, verify=verify)
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
        """Yields every entry that is not removed, and whether it is enabled."""
        disabled = set(self.manifest.disabled)
        for segment, removed in zip(self.segments, self.removed, strict=True):
            for entry in segment.all_entries():
                if entry.id not in removed:
                    yield entry, entry.id not in disabled

    def has(self, entry_id: str) -> bool:
        """Whether the bank has an entry with that id that is not removed."""
        return self._place(entry_id) is not None

    def footage(self) -> Iterator[Footage]:
        """Yields every entry that is not removed, with its hashes and audio."""
        for segment, removed in zip(self.segments, self.removed, strict=True):
            for item in segment.footage():
                if item.entry.id not in removed:
                    yield item

    def add_footage(self, items: Iterable[Footage], by: str = "") -> int:
        """Adds all of the footage, or none of it on an error. Returns the number of entries added.

        Raises AlreadyExists, which names the first entry whose id the bank already has.
        """
        return self.update(items, by=by).added

    def update(
        self,
        changes: Iterable[Change],
        *,
        existing: Existing = Existing.REFUSE,
        checkpoints: Callable[[], Mapping[str, str]] = dict,
        stage: Stage | None = None,
        by: str = "",
    ) -> Updated:
        """Applies additions and withdrawals in order. Readers see all of them at once, or none.

        ``checkpoints`` is called after the last change, so that the position of a feed is stored together
        with its entries. ``stage`` keeps the progress of an interrupted update and restores it the next
        time. Withdrawing an entry that does not exist is no error. An update without effect leaves the bank
        unchanged. A removed entry loses its marks (disabled, quarantined). A replaced entry keeps them.
        ``by`` is who changes it, for the record.
        """
        with self._changing():
            intake = BankUpdate(self.name, self.segments, self.removed, existing, self._write_part)
            base = _content_digest(self.manifest)
            kept: set[str] = set()
            try:
                if stage is not None and (restored := stage.restore(base)) is not None:
                    intake.restore(*restored)
                    kept = {segment.path.name for segment in intake.new_segments}
                for change in changes:
                    intake.take(change)
                    if intake.full:
                        intake.flush()
                        if stage is not None:
                            stage.save(base, intake.staged)
                            kept = {segment.path.name for segment in intake.new_segments}
                intake.flush()
                self._store(intake, checkpoints(), by)
                kept = set()
            finally:
                kept |= {name.file for name in read_manifest(self.path)[0].segments}
                for segment in intake.new_segments:
                    if segment.path.name not in kept:
                        segment.path.unlink(missing_ok=True)
            if stage is not None:
                stage.clear()
            if len(self.segments) > COMPACT_AT:
                self._merge(_small_ones(self.segments))
        return intake.updated

    def adopt(
        self,
        segment: Path,
        name: SegmentName,
        fits: Callable[[], bool] = lambda: True,
        checkpoints: Mapping[str, str] | None = None,
    ) -> bool:
        """Takes in a whole segment file, as a link where the file system has them. Returns whether it did.

        The caller has verified every byte of it. ``fits`` is asked under the lock whether none of its
        entries is in the bank. Those that ``name`` has as removed are not taken in. Raises BankError for
        another file than ``name`` says.
        """
        with self._changing():
            if not fits():
                return False
            file = f"{self.name}-{self.manifest.generation + 1:06d}-{secrets.token_hex(4)}.seg"
            link_file(segment, self.path.parent / file)
            taken = name.model_copy(update={"file": file})
            self.segments = (*self.segments, open_segment(self.path.parent / file, taken, verify=False))
            all_checkpoints = {**self.manifest.checkpoints, **(checkpoints or {})}
            self._commit({"segments": (*self.manifest.segments, taken), "checkpoints": all_checkpoints})
            if len(self.segments) > COMPACT_AT:
                self._merge(_small_ones(self.segments))
        return True

    def amend(
        self,
        fields: Callable[[BankManifest], Mapping[str, Any]],
        notes: Mapping[str, MarkNote | None] | None = None,
    ) -> None:
        """Replaces fields of the manifest other than the segments, as the manifest is under the lock.

        ``notes`` are of marked entries; None takes a note away. Without a difference nothing is written.
        """
        with self._changing():
            wanted = fields(self.manifest)
            if any(getattr(self.manifest, name) != value for name, value in wanted.items()):
                self._commit(dict(wanted))
            for entry_id, note in (notes or {}).items():
                write_notes(self.path, (entry_id,), note)

    def _store(self, intake: BankUpdate, checkpoints: Mapping[str, str], by: str) -> None:
        staged, parts = intake.staged, intake.new_segments
        gone = staged.gone
        marked = sum(len(ids) for ids in (*self.removed, *gone, *(name.removed for name in staged.names)))
        all_checkpoints = {**self.manifest.checkpoints, **checkpoints}
        names = list(staged.names)
        marks = self._marks_left(staged, parts)
        if marked > MAX_MARKED:
            out = [frozenset((*old, *ids)) for old, ids in zip(self.removed, gone, strict=True)]
            builder = _left_of((*self.segments, *parts), (*out, *(frozenset(n.removed) for n in names)))
            segments = [self._write_segment(builder)] if builder.entries else []
        else:
            if len(parts) > 1:
                builder = _left_of(parts, [frozenset(name.removed) for name in names])
                names = [self._write_segment(builder)] if builder.entries else []
            segments = [
                *(
                    name.model_copy(update={"removed": tuple(sorted({*name.removed, *ids}))})
                    for name, ids in zip(self.manifest.segments, gone, strict=True)
                ),
                *names,
            ]
        old_files = {name.file for name in self.manifest.segments}
        if (tuple(segments), all_checkpoints) != (self.manifest.segments, self.manifest.checkpoints):
            if by:
                all_checkpoints[CHANGED_BY] = by
            self._commit({"segments": segments, "checkpoints": all_checkpoints, **marks})
        for file in old_files - {name.file for name in self.manifest.segments}:
            (self.path.parent / file).unlink(missing_ok=True)

    def _marks_left(self, staged: Staged, parts: Sequence[Segment]) -> dict[str, tuple[str, ...]]:
        """Returns the bank's marks without those of removed ids that this update does not replace."""
        gone = {entry_id for ids in staged.gone for entry_id in ids}

        def stays(entry_id: str) -> bool:
            comes = any(
                entry_id not in name.removed and part.find(entry_id) is not None
                for name, part in zip(staged.names, parts, strict=True)
            )
            return self._place(entry_id) is not None if comes else entry_id not in gone

        manifest = self.manifest
        return {
            "disabled": tuple(filter(stays, manifest.disabled)),
            "quarantined": tuple(filter(stays, manifest.quarantined)),
        }

    def set_enabled(self, ids: Iterable[str], enabled: bool, note: MarkNote | None = None) -> None:
        """Enables or disables entries. Raises NotFound, which names the first missing id."""
        self._mark("disabled", ids, not enabled, note)

    def set_quarantined(self, ids: Iterable[str], quarantined: bool, note: MarkNote | None = None) -> None:
        """Quarantines entries or releases them. Raises NotFound, which names the first missing id."""
        self._mark("quarantined", ids, quarantined, note)

    def _mark(
        self,
        mark: Literal["disabled", "quarantined"],
        ids: Iterable[str],
        on: bool,
        note: MarkNote | None,
    ) -> None:
        with self._changing():
            wanted = self._known(ids)
            marked = set(getattr(self.manifest, mark))
            marked = marked | wanted if on else marked - wanted
            self._commit({mark: _marked(f"bank.{mark}", marked), **self._changed_by(note)})
            still = {*self.manifest.disabled, *self.manifest.quarantined}
            write_notes(self.path, wanted if on else wanted - still, note if on else None)

    def _changed_by(self, note: MarkNote | None) -> dict[str, Any]:
        by = "" if note is None else note.by
        return {"checkpoints": {**self.manifest.checkpoints, CHANGED_BY: by}} if by else {}

    def remove(self, ids: Iterable[str], by: str = "") -> None:
        """Removes entries. Raises NotFound, which names the first missing id."""
        wanted = self._known(ids)
        self.update((Withdrawal(entry_id) for entry_id in sorted(wanted)), by=by)

    def change(self, info: BankInfo, note: MarkNote | None = None) -> None:
        """Replaces the settings that operators make for the bank. ``note``: why it is switched on or off."""
        with self._changing():
            switched = info.enabled != self.info.enabled
            self._commit({"info": info, **self._changed_by(note)})
            if switched:
                write_notes(self.path, (THE_BANK,), note)

    def accept_loss(self, wall_ms: int) -> None:
        """Puts on record that what the bank has lost by now is meant to be gone."""
        with self._changing():
            self._commit({"accepted_ms": max(wall_ms, self.manifest.accepted_ms + 1)})

    def delete_empty(self) -> bool:
        """Deletes the bank's files where it has no entries. Returns whether it did."""
        with _locked(self.path):
            manifest, _ = read_manifest(self.path)
            if manifest.entries:
                return False
            self.path.unlink()
            for segment in manifest.segments:
                (self.path.parent / segment.file).unlink(missing_ok=True)
        return True

    def compact(self) -> None:
        """Writes the remaining entries into one segment and deletes the old segments.

        Running gates keep the old mappings until they reload. Ten million hashes take half a minute and 3
        GB. Updates merge small segments by themselves.
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
        """Returns the index of the segment that has the entry."""
        for place, (segment, removed) in enumerate(zip(self.segments, self.removed, strict=True)):
            if entry_id not in removed and segment.find(entry_id) is not None:
                return place
        return None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the writers' lock on the newest state. A failed change leaves no segment behind."""
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
        name, segment = self._written(builder, f"{self.name}-{self.manifest.generation + 1:06d}.seg")
        self.segments = (*self.segments, segment)
        return name

    def _write_part(self, builder: SegmentBuilder) -> tuple[SegmentName, Segment]:
        """Writes a part of an update under a unique name. Leftovers of an interruption have other names."""
        return self._written(
            builder, f"{self.name}-{self.manifest.generation + 1:06d}-{secrets.token_hex(4)}.seg"
        )

    def _written(self, builder: SegmentBuilder, file: str) -> tuple[SegmentName, Segment]:
        digest = builder.write_to(self.path.parent / file)
        segment = Segment.open(self.path.parent / file, verify=False)
        name = SegmentName(file=file, digest=digest, hashes=segment.hashes, entries=segment.entries)
        return name, segment

    def _merge(self, old: Sequence[Segment]) -> None:
        """Replaces segments by one with their remaining entries."""
        out = {s.path: removed for s, removed in zip(self.segments, self.removed, strict=True)}
        builder = _left_of(old, [out[segment.path] for segment in old])
        files = {segment.path.name for segment in old}
        kept = tuple(name for name in self.manifest.segments if name.file not in files)
        added = (self._write_segment(builder),) if builder.entries else ()
        self._commit({"segments": (*kept, *added)})
        for file in files:
            (self.path.parent / file).unlink(missing_ok=True)

    def _commit(self, changed: dict[str, Any]) -> None:
        before = self.manifest
        fields = dict(before) | changed | {"generation": before.generation + 1}
        try:
            manifest = BankManifest.model_validate(fields)
            removed = max(0, before.entries - manifest.entries), max(0, before.hashes - manifest.hashes)
            if any(removed):
                counted = zip(("entries_removed", "hashes_removed"), removed, strict=True)
                fields |= {name: getattr(before, name) + count for name, count in counted}
                manifest = BankManifest.model_validate(fields)
        except ValidationError as error:
            raise InvalidInput(f"bank {self.name}", str(error.errors(include_url=False)[0]["msg"])) from None
        write_manifest(self.path, manifest)
        self._take(type(self).open(self.path, verify=False, known=self.segments))


def _left_of(segments: Sequence[Segment], gone: Sequence[frozenset[str]]) -> SegmentBuilder:
    """Collects the entries of segments without the removed ones, each once."""
    builder = SegmentBuilder()
    plain = all(segment.plain for segment in segments)
    for segment, ids in zip(segments, gone, strict=True):
        if plain:
            builder.add_plain(segment.left_of_plain(ids))
            continue
        for item in segment.footage():
            if item.entry.id not in ids:
                builder.add_footage(item)
    return builder


def _content_digest(manifest: BankManifest) -> str:
    """Returns a digest of the entries alone, without the operators' settings."""
    names = [name.model_dump(mode="json") for name in manifest.segments]
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()


def _small_ones(segments: Sequence[Segment]) -> Sequence[Segment]:
    """Returns all but the largest segment. Once these hold half as many hashes as it, returns all.

    So each hash is rewritten only a few times.
    """
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
        give_to_owner_of(path.parent, lock.fileno())
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            make_private(path.parent)
