"""Files that appear whole, synced and private, or not at all."""

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
    """Gives ``(partial, final)``: an empty file of mode 0600 to be filled, and the name that it takes when
    the block ends without an exception, after it and the directory are synced to disk.

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
    """Removes what a process that was killed in the midst of it has left behind; how many files. ``now_s``:
    seconds since the epoch. What was begun lately may still be written, by a worker that outlives its gate
    for some seconds. Raises OSError."""
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
