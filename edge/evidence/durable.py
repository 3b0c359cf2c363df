"""Writes files that appear complete, synced and private, or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edge.errors import InvalidInput

_UNFINISHED_S: Final = 600.0
_IDENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@contextmanager
def appearing(directory: Path, incident_id: str, suffix: str) -> Iterator[tuple[Path, Path]]:
    """Yields ``(partial, final)``: an empty file of mode 0600 to fill, and its later name.

    When the block ends without an exception, the file is synced and renamed, and the directory is synced.
    Raises InvalidInput for an id that is no file name, and OSError.
    """
    if not _IDENT.fullmatch(incident_id):
        raise InvalidInput("incident_id", "wants letters, digits, '_', '.', '-', at most 128 characters")
    final = directory / f"{incident_id}{suffix}"
    partial = directory / f".{incident_id}.{secrets.token_hex(4)}.partial"
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield partial, final
        _sync(partial)
        partial.replace(final)
        _sync(directory)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def forget_unfinished(directory: Path, now_s: float) -> int:
    """Removes unfinished files of killed processes. Returns the number of files. Raises OSError.

    ``now_s`` is in seconds since the epoch. Recent files are kept, because a worker may still write them
    for some seconds after its gate has ended.
    """
    old = [
        path
        for path in directory.glob(".*.partial")
        if path.is_file() and now_s - path.stat().st_mtime > _UNFINISHED_S
    ]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
