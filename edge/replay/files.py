"""Finds the files that a command is given, and says which of them it leaves out, and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from edge.errors import GateError, LimitExceeded, NotMedia, NoVideo, TooShort
from edge.recorded_media import promises_media

MAX_FILES: Final = 100_000
"""Most files and folders that one command looks at."""
_SOMETHING_ELSE: Final = (NotMedia.reason, NoVideo.reason, TooShort.reason)
"""What a file of a folder may be without being a failure."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that a command does not take."""

    path: Path
    why: str
    """For people."""
    reason: str
    """A stable word."""
    failed: bool = False
    """It may be media, which could not be read."""

    @classmethod
    def by_error(cls, path: Path, error: GateError | OSError) -> Self:
        """Why a file is left out that raised an error. It failed, unless it is something else."""
        if isinstance(error, OSError):
            return cls(path, error.strerror or str(error), "unreadable", failed=True)
        why = str(error).removeprefix(f"{path}: ")
        return cls(path, why, error.reason, failed=error.reason not in _SOMETHING_ELSE)

    def as_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "left_out": self.why, "reason": self.reason}


@dataclass(slots=True)
class FoundFiles:
    """The files that a command is given by name, and those in the folders that it is given."""

    files: list[Path] = field(default_factory=list)
    in_folders: set[int] = field(default_factory=set)
    """Indexes of the files that nobody has named."""
    left_out: list[LeftOut] = field(default_factory=list)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """Finds named files, and whatever is below named folders in order of its name. Opens nothing.

        Links to files are followed, and links to folders are not. A broken link whose name promises media is
        among the files, where it fails visibly. Raises LimitExceeded over 100 000 files and folders.
        """
        found = cls()
        for path in paths:
            if not path.is_dir():
                found.files.append(path)
                continue
            for each in _below(path):
                if isinstance(each, LeftOut):
                    found.left_out.append(each)
                else:
                    found.in_folders.add(len(found.files))
                    found.files.append(each)
                seen = len(found.files) + len(found.left_out)
                if seen > MAX_FILES:
                    raise LimitExceeded(str(path), MAX_FILES, seen, "files")
        return found

    def left_out_for(self, index: int, report: Mapping[str, Any]) -> LeftOut | None:
        """``left_out_of`` for a file of a folder. None for a file that somebody has named."""
        return left_out_of(self.files[index], report) if index in self.in_folders else None


def left_out_of(path: Path, report: Mapping[str, Any]) -> LeftOut | None:
    """Returns why a file is left out, if its report says that it is something else than the media wanted."""
    if "error" not in report or report["reason"] not in _SOMETHING_ELSE:
        return None
    return LeftOut(path, str(report["error"]).removeprefix(f"{path}: "), str(report["reason"]))


def _below(folder: Path) -> Iterator[Path | LeftOut]:
    """Not recursive, because folders may lie in one another a thousand deep."""
    waiting = [*_entries(folder)]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, LeftOut):
            yield entry
            continue
        found = _kind_of(entry)
        if found is None:
            waiting += _entries(Path(entry.path))
        else:
            yield found


def _entries(folder: Path) -> Iterator[LeftOut | os.DirEntry[str]]:
    """Yields what is in a folder, the last one first."""
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name, reverse=True)
    except OSError as error:
        yield LeftOut(folder, error.strerror or str(error), "unreadable", failed=True)


def _kind_of(entry: os.DirEntry[str]) -> Path | LeftOut | None:
    """Returns a file that may be media, or why it is left out. None for a folder to look into."""
    path = Path(entry.path)
    try:
        kind = entry.stat().st_mode
    except OSError as error:
        if promises_media(path):
            return path
        return LeftOut(path, f"is a link to nothing: {error.strerror or error}", "broken_link")
    if stat.S_ISREG(kind):
        return path
    if not stat.S_ISDIR(kind):
        return LeftOut(path, f"is {_KINDS.get(stat.S_IFMT(kind), 'no file')}", "not_a_file")
    if entry.is_symlink():
        return LeftOut(path, "is a link to a folder", "linked_folder")
    if entry.name.startswith("."):
        return LeftOut(path, "is a hidden folder", "hidden_folder")
    return None


_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
