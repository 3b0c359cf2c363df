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
    """Files as named, and the videos below folders in order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            yield path
