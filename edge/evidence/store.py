"""Where evidence is kept: the seam to a folder or a bucket, and the names of an incident's files.

An incident has at most one file of each kind. All names begin with its id, so that nothing has to be listed.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from edge.evidence.durable import evidence_file

MAX_FILE_BYTES: Final = 1 << 30
"""Largest file of evidence."""
_NOWHERE: Final = Path()


class EvidenceFileKind(StrEnum):
    """What a file of evidence is. The value is its suffix."""

    CLIP = ".mp4"
    RECORD = ".json"
    POSTERS = ".posters"
    """Poster frames of the clip, in the form of ``edge.evidence.posters``."""


def file_name(incident_id: str, kind: EvidenceFileKind) -> str:
    """Returns the name of an incident's file. Raises InvalidInput for an id that is no file name."""
    return evidence_file(_NOWHERE, incident_id, kind.value).name


def incident_of(name: str) -> str:
    """Returns the incident that a file belongs to. Empty: it is no file of evidence, or not finished."""
    kind = next((kind for kind in EvidenceFileKind if name.endswith(kind.value)), None)
    return "" if kind is None or name.startswith(".") else name.removesuffix(kind.value)


class EvidenceStore(Protocol):
    """Keeps files of evidence by name. Every method may be called from any task of one event loop, and does
    not block it. All raise EvidenceStoreFailed where the store does not answer."""

    @property
    def shared(self) -> bool:
        """Whether every gate of a fleet reads and writes the same store."""
        ...

    async def save(self, name: str, source: Path) -> None:
        """Takes a copy of a local file. It replaces an earlier file of the name, and is durable on return."""
        ...

    async def size(self, name: str) -> int | None:
        """Returns the size of a file in bytes. None: there is none of the name."""
        ...

    async def read(self, name: str, begin: int, length: int) -> bytes:
        """Returns up to ``length`` bytes from ``begin`` on; fewer at the end of the file.

        Raises NotFound.
        """
        ...

    async def remove(self, name: str) -> bool:
        """Removes a file. Returns whether there was one."""
        ...
