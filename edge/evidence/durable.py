"""Writes files that appear complete, synced and private, or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edge.errors import InvalidInput

INCOMING: Final = "incoming"
"""Folder in the evidence that workers write to."""
_UNFINISHED_S: Final = 600.0
_IDENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@contextmanager
def appearing(directory: Path, incident_id: str, suffix: str) -> Iterator[tuple[Path, Path]]:
    """Yields ``(partial, final)``: an empty file of mode 0600 to fill, and its later name.

    When the block ends without an exception, the file is synced and renamed, and the directory is synced.
    Raises InvalidInput for an id that is no file name, and OSError.
    """
    final = directory / _name(incident_id, suffix)
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


def take_in(incoming: Path, directory: Path, incident_id: str) -> Path:
    """Moves the clip that a worker has written from ``incoming`` to the evidence. Returns its place.

    A worker may write to ``incoming`` alone, so that media which takes a worker over changes no evidence of
    others. Raises InvalidInput for an id that is no file name, and OSError.
    """
    name = _name(incident_id, ".mp4")
    source, final = incoming / name, directory / name
    if not stat.S_ISREG(source.lstat().st_mode):
        raise InvalidInput("evidence", f"{name} is no plain file")
    source.replace(final)
    _sync(directory)
    return final


def forget_unfinished(directory: Path, now_s: float) -> int:
    """Removes unfinished files of killed processes, and what nobody has taken in. Returns the number of
    files. Raises OSError.

    ``now_s`` is in seconds since the epoch. Recent files are kept, because a worker may still write them
    for some seconds after its gate has ended.
    """
    old = [
        path
        for path in (*directory.glob(".*.partial"), *(directory / INCOMING).glob("*"))
        if path.is_file() and now_s - path.stat().st_mtime > _UNFINISHED_S
    ]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _name(incident_id: str, suffix: str) -> str:
    if not _IDENT.fullmatch(incident_id):
        raise InvalidInput("incident_id", "wants letters, digits, '_', '.', '-', at most 128 characters")
    return f"{incident_id}{suffix}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
