"""Keeps the progress of an import next to the bank, so that it can resume after an interruption.

``.NAME.import`` names the staged segments, which no manifest names, and the place in the file that they
reach. An import resumes only when the start of the file, the bank's entries and the options are unchanged.
The result is the same as without an interruption.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import BankError
from edge.match.bank.array_file import replace_file
from edge.match.bank.bank_update import Existing, Staged, Updated
from edge.match.bank.manifest import LOCAL_CHECKPOINT, MAX_SEGMENTS, SUFFIX, Ids, SegmentName, read_manifest
from edge.match.bank.segment import Segment, open_segment
from edge.match.formats.hash_lists import Import
from edge.match.formats.resumable_lines import Cursor
from edge.settings_file import open_regular

MAX_STAGE_BYTES = 32 * 1024 * 1024
_BLOCK_BYTES = 1 << 20
_CURSOR = "cursor of "

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Reached(BaseModel):
    """A place in a file, with digests of the content before it and of the options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset_bytes: Count
    line: Count
    sha256: Digest
    """SHA-256 of everything before the place."""
    asked: Digest
    """SHA-256 of the options of the import."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reached: _Reached
    base: Digest
    names: Annotated[tuple[SegmentName, ...], Field(max_length=MAX_SEGMENTS)]
    gone: tuple[Ids, ...]
    updated: dict[str, int]
    low_quality: Count
    other_kinds: Count
    not_violating: Count = 0


class ImportStage:
    """The stage of one import. ``resume`` continues from the kept progress, or after an earlier import."""

    def __init__(
        self,
        bank: Path,
        changes: Import,
        *,
        existing: Existing,
        resume: bool,
        checkpoints: Mapping[str, str],
    ) -> None:
        """``checkpoints`` are the bank's. They say how far the file was imported before."""
        self._bank = bank
        self._path = bank.with_name(f".{bank.name.removesuffix(SUFFIX)}.import")
        self._changes = changes
        self._resume = resume
        self._name = f"{_CURSOR}{changes.path.name}"[:256]
        self._before = checkpoints.get(self._name, "")
        self._prefix = _Prefix(changes.path)
        asked = (changes.format, changes.entry_id, changes.label, changes.min_quality, existing)
        self._asked = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        self.resumed_at: Cursor | None = None
        """The place from which this import resumed. None if it started at the beginning."""

    @property
    def checkpoints(self) -> dict[str, str]:
        """How far the file has been read. The bank stores it together with the entries."""
        return {self._name: self._reached().model_dump_json()} if self._changes.path.is_file() else {}

    @property
    def kept(self) -> Cursor | None:
        """The place that the kept progress reaches. None without kept progress."""
        kept = self._read()
        return None if kept is None else Cursor(kept.reached.offset_bytes, kept.reached.line)

    def restore(self, base: str) -> tuple[Staged, list[Segment]] | None:
        kept = self._read()
        if kept is not None:
            remove_strays(self._bank, {name.file for name in kept.names})
            if self._resume and kept.base == base:
                with contextlib.suppress(BankError):
                    segments = [open_segment(self._bank.parent / n.file, n) for n in kept.names]
                    if self._goes_on(kept.reached):
                        self._changes.low_quality = kept.low_quality
                        self._changes.other_kinds = kept.other_kinds
                        self._changes.not_violating = kept.not_violating
                        return Staged(kept.names, kept.gone, Updated(**kept.updated)), segments
        self.clear()
        remove_strays(self._bank)
        if self._resume and self._before:
            with contextlib.suppress(ValidationError):
                self._goes_on(_Reached.model_validate_json(self._before))
        return None

    def save(self, base: str, staged: Staged) -> None:
        if not self._changes.path.is_file():
            return
        kept = _Kept(
            reached=self._reached(),
            base=base,
            names=staged.names,
            gone=staged.gone,
            updated=asdict(staged.updated),
            low_quality=self._changes.low_quality,
            other_kinds=self._changes.other_kinds,
            not_violating=self._changes.not_violating,
        )
        text = kept.model_dump_json().encode()
        replace_file(self._path, lambda out: out.write(text))

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def _goes_on(self, reached: _Reached) -> bool:
        """Resumes the import at this place, if the file is unchanged up to it. Returns whether it does."""
        same = reached.asked == self._asked and self._changes.path.is_file()
        if not same or self._prefix.sha256(reached.offset_bytes) != reached.sha256:
            return False
        with self._changes.path.open("rb") as file:
            file.seek(max(0, reached.offset_bytes - 1))
            around = file.read(2)
        if len(around) == 2 and reached.offset_bytes and b"\n" not in around:
            return False  # the last line had no line break and was continued since
        self._changes.cursor = self.resumed_at = Cursor(reached.offset_bytes, reached.line)
        return True

    def _reached(self) -> _Reached:
        cursor = self._changes.cursor
        return _Reached(
            offset_bytes=cursor.offset_bytes,
            line=cursor.line,
            sha256=self._prefix.sha256(cursor.offset_bytes),
            asked=self._asked,
        )

    def _read(self) -> _Kept | None:
        """Reads the kept progress. None where there is none, or it is unusable."""
        try:
            with open_regular(self._path) as file:
                return _Kept.model_validate_json(file.read(MAX_STAGE_BYTES))
        except (OSError, ValidationError):
            return None


def remove_strays(bank: Path, kept: Collection[str] = ()) -> None:
    """Removes the leftovers of a killed process: parts that nothing names, and half-written files.

    ``kept``: parts that an interrupted import goes on from.
    """
    named = {*kept, *(name.file for name in read_manifest(bank)[0].segments)}
    own = re.escape(bank.name.removesuffix(SUFFIX))
    stray = re.compile(
        rf"{own}-\d{{6}}-[0-9a-f]{{8}}\.seg|\.{own}(-\d{{6}}(-[0-9a-f]{{8}})?\.seg|\.import)\..*\.part"
    )
    for path in bank.parent.iterdir():
        if stray.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)


def feed_checkpoints(checkpoints: Mapping[str, str]) -> dict[str, str]:
    """Returns a bank's checkpoints of feeds, without those of files and what a gate keeps for itself."""
    own = (_CURSOR, LOCAL_CHECKPOINT)
    return {name: value for name, value in checkpoints.items() if not name.startswith(own)}


class _Prefix:
    """Digests a file up to a place that mostly moves forwards. It then reads each byte once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._digest = hashlib.sha256()

    def sha256(self, end: int) -> str:
        """Returns the SHA-256 of the first ``end`` bytes, or of the whole file when it is shorter."""
        if end < self._at:
            self._at, self._digest = 0, hashlib.sha256()
        with self._path.open("rb") as file:
            file.seek(self._at)
            while block := file.read(min(_BLOCK_BYTES, end - self._at)):
                self._digest.update(block)
                self._at += len(block)
        return self._digest.hexdigest()
