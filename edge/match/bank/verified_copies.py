"""Copies banks, verified byte by byte, into a folder that nobody else writes to. Workers read the copies.

A bank's own files may be torn, shortened or deleted at any time, by a disk, a copy tool or a hand. A copy
replaces the one before only when it is whole and has lost nothing without a removal on record. Until then
the last good copy stays, also over a restart. It runs in a process of its own (``main``), because checking
a gigabyte would hold up the event loop, and reading a mapped file that shrinks ends the process.

A copied segment is named by its digest. The copied manifest names segments so, and says the same otherwise.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from edge.durable_files import PARTIAL, sync_folder
from edge.errors import BankError, GateError, NotFound
from edge.match.bank import array_file
from edge.match.bank.manifest import (
    SUFFIX,
    BankManifest,
    SegmentName,
    bank_files,
    read_manifest,
    unexplained_loss,
    write_manifest,
)
from edge.match.bank.segment import open_segment
from edge.reasons import AlarmReason
from edge.settings_file import open_regular

_TRIES = 5
NICENESS = 10
"""Niceness of the copying process. Judging live streams has priority."""


@dataclass(frozen=True, slots=True)
class BankProblem:
    """Why a bank's copy is not what its own files are."""

    bank: str
    """Empty for the whole folder."""
    reason: AlarmReason
    detail: str


class Extent(StrEnum):
    """What is read byte by byte."""

    NEW = "new"
    """New segments alone. Of all others, headers and lengths are checked."""
    COPIES = "copies"
    """The copies too, as after a restart."""
    ALL = "all"
    """The banks' own files too."""


def refresh_copies(source: Path, copies: Path, extent: Extent) -> tuple[BankProblem, ...]:
    """Brings the copies up to date with the banks of ``source``. Returns what stands in the way."""
    copies.mkdir(parents=True, exist_ok=True, mode=0o700)
    copies.chmod(0o700)
    for leftover in copies.glob(f".*{PARTIAL}"):
        leftover.unlink(missing_ok=True)
    problems = list(_refreshed(source, copies, extent))
    tidy(copies)
    return tuple(problems)


def _refreshed(source: Path, copies: Path, extent: Extent) -> Iterator[BankProblem]:
    kept = {path.name.removesuffix(SUFFIX) for path in bank_files(copies)}
    try:
        found = {path.name.removesuffix(SUFFIX) for path in bank_files(source)}
    except BankError as error:
        yield BankProblem("", AlarmReason.UNREADABLE, str(error))
        found = set()
    for name in sorted(kept | found):
        copy = _Copy(name, copies, extent)
        problem = copy.refresh(source)
        if problem is not None:
            if not copy.is_good():
                problem = BankProblem(name, AlarmReason.LOST, problem.detail)
            yield problem


class _Copy:
    """The copy of one bank."""

    def __init__(self, name: str, folder: Path, extent: Extent) -> None:
        self._name = name
        self._folder = folder
        self._path = folder / f"{name}{SUFFIX}"
        self._extent = extent
        self._good: dict[str, bool] = {}
        self._read = ""
        """Digest of the manifest that was read last."""

    def refresh(self, source: Path) -> BankProblem | None:
        path = source / f"{self._name}{SUFFIX}"
        for _ in range(_TRIES):
            problem = self._refreshed(source, path)
            if problem is None or not self._has_changed(path):
                break  # A change, such as a compaction, may have replaced segments meanwhile.
        return problem

    def _has_changed(self, path: Path) -> bool:
        """Whether the bank's manifest is another one than was read."""
        try:
            return read_manifest(path)[1] != self._read
        except GateError:
            return False

    def _refreshed(self, source: Path, manifest_path: Path) -> BankProblem | None:
        try:
            manifest, self._read = read_manifest(manifest_path)
            for segment in manifest.segments:
                path = source / segment.file
                if array_file.verify_file(path, every_byte=self._extent is Extent.ALL) != segment.digest:
                    raise BankError(f"{path}: not the segment that the manifest names (digest differs)")
        except NotFound:
            return self._gone()
        except GateError as error:
            return self._problem(AlarmReason.UNREADABLE, str(error))
        before = self._manifest()
        loss = "" if before is None else unexplained_loss(before, manifest)
        fewer = self._problem(AlarmReason.FEWER, f"{loss}, and no removal is on record") if loss else None
        if fewer is not None and self.is_good():
            return fewer
        try:
            self._take(source, manifest)
        except BankError as error:
            return self._problem(AlarmReason.UNREADABLE, str(error))
        except OSError as error:
            return self._problem(AlarmReason.NOT_COPIED, f"{self._folder}: {error.strerror or error}")
        return fewer

    def is_good(self) -> bool:
        manifest = self._manifest()
        return manifest is not None and all(self._has(segment) for segment in manifest.segments)

    def _gone(self) -> BankProblem | None:
        before = self._manifest()
        if before is not None and not unexplained_loss(before, None):
            self._path.unlink()
            return None
        return self._problem(AlarmReason.MISSING, "its file is gone")

    def _take(self, source: Path, manifest: BankManifest) -> None:
        for segment in manifest.segments:
            if not self._has(segment):
                self._copy_segment(source / segment.file, segment)
                self._good[segment.digest] = True
        names = tuple(name.model_copy(update={"file": _file_of(name)}) for name in manifest.segments)
        copied = manifest.model_copy(update={"segments": names})
        if copied != self._manifest():
            write_manifest(self._path, copied)

    def _copy_segment(self, path: Path, name: SegmentName) -> None:
        """Copies a segment and checks the copy. What the disk did to it on the way is then found too."""
        size, free = path.stat().st_size, shutil.disk_usage(self._folder).free
        if size > free // 2:
            raise OSError(f"{size} bytes are more than half of the {free} that are free")

        def fill(out: BinaryIO) -> None:
            with open_regular(path) as file:
                shutil.copyfileobj(file, out, 1 << 20)

        unchecked = self._folder / f".{name.digest}{PARTIAL}"
        try:
            array_file.replace_file(unchecked, fill)
            open_segment(unchecked, name)
            unchecked.chmod(0o400)
            os.replace(unchecked, self._folder / _file_of(name))
            sync_folder(self._folder)
        finally:
            unchecked.unlink(missing_ok=True)

    def _has(self, name: SegmentName) -> bool:
        """Whether a good copy of the segment is there."""
        if name.digest not in self._good:
            path = self._folder / _file_of(name)
            try:
                if self._extent is Extent.NEW:
                    self._good[name.digest] = array_file.verify_file(path, every_byte=False) == name.digest
                else:
                    array_file.verify_file(path, every_byte=True)
                    self._good[name.digest] = open_segment(path, name).digest == name.digest
            except BankError:
                self._good[name.digest] = False
        return self._good[name.digest]

    def _manifest(self) -> BankManifest | None:
        try:
            return read_manifest(self._path)[0]
        except GateError:
            return None

    def _problem(self, reason: AlarmReason, detail: str) -> BankProblem:
        return BankProblem(self._name, reason, detail)


def _file_of(name: SegmentName) -> str:
    return f"{name.digest}.seg"


def tidy(copies: Path) -> None:
    """Removes segments that no bank of a folder names. Workers that still map one keep it until they reload.

    Nothing is removed while a manifest cannot be read, because its segments may be the last good ones.
    """
    named = set()
    for path in bank_files(copies):
        try:
            named |= {segment.file for segment in read_manifest(path)[0].segments}
        except GateError:
            return
    for path in copies.glob("*.seg"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def main(argv: list[str]) -> int:
    """``python -m edge.match.bank.verified_copies SOURCE COPIES EXTENT``: prints the problems as JSON."""
    os.nice(NICENESS)
    source, copies, extent = argv
    try:
        problems = refresh_copies(Path(source), Path(copies), Extent(extent))
    except (GateError, OSError) as error:
        problems = (BankProblem("", AlarmReason.NOT_COPIED, str(error)),)
    print(json.dumps([asdict(problem) for problem in problems]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
