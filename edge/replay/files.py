"""Finds the files that a replay reads."""

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
    """Yields the named files, and the videos below named folders in order of their names.

    Broken links are included. They must fail visibly and not be skipped in silence.
    """
    for path in paths:
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            yield from sorted(p for p in found if p.is_file() or (p.is_symlink() and not p.exists()))
        else:
            yield path
