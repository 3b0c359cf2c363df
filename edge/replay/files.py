"""Which files a replay reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = frozenset(
    {
        ".mp4",
        ".mov",
        ".m4v",
        ".mkv",
        ".webm",
        ".flv",
        ".ts",
        ".m2ts",
        ".avi",
        ".mpg",
        ".mpeg",
        ".h264",
        ".gif",
    }
)


def expand_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as named, and the videos below folders in order of their names.

    A link to what is gone is among them: it is to fail where people see it, not to be left out in silence.
    """
    for path in paths:
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            yield from sorted(p for p in found if p.is_file() or (p.is_symlink() and not p.exists()))
        else:
            yield path
