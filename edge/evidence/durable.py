"""The folder of evidence: names of files, what workers hand in, and what killed processes leave behind."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

from edge.durable_files import PARTIAL, sync_file, sync_folder
from edge.errors import InvalidInput

INCOMING: Final = "incoming"
"""Folder in the evidence that workers write to."""
_UNFINISHED_S: Final = 600.0
_EARLIER_PARTIAL: Final = ".partial"
_IDENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def evidence_file(directory: Path, incident_id: str, suffix: str) -> Path:
    """Returns the place of an incident's file. Raises InvalidInput for an id that is no file name."""
    if not _IDENT.fullmatch(incident_id):
        raise InvalidInput("incident_id", "wants letters, digits, '_', '.', '-', at most 128 characters")
    return directory / f"{incident_id}{suffix}"


def take_in(incoming: Path, directory: Path, incident_id: str) -> Path:
    """Moves the clip that a worker has written from ``incoming`` to the evidence. Returns its place.

    A worker may write to ``incoming`` alone, so that media which takes a worker over changes no evidence of
    others. Raises InvalidInput for an id that is no file name, and OSError.
    """
    source, final = (evidence_file(folder, incident_id, ".mp4") for folder in (incoming, directory))
    if not stat.S_ISREG(source.lstat().st_mode):
        raise InvalidInput("evidence", f"{source.name} is no plain file")
    sync_file(source)
    source.replace(final)
    sync_folder(directory)
    return final


def forget_unfinished(directory: Path, now_s: float) -> int:
    """Removes unfinished files of killed processes, and what nobody has taken in. Returns the number of
    files. Raises OSError.

    ``now_s`` is in seconds since the epoch. Recent files are kept, because a worker may still write them
    for some seconds after its gate has ended.
    """
    old = [
        path
        for path in (
            *directory.glob(f".*{PARTIAL}"),
            *directory.glob(f".*{_EARLIER_PARTIAL}"),
            *(directory / INCOMING).glob("*"),
        )
        if path.is_file() and now_s - path.stat().st_mtime > _UNFINISHED_S
    ]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
