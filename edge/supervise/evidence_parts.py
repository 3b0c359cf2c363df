"""What people are shown of evidence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from edge.domain import Incident, ScorePoint

CHUNK_BYTES: Final = 256 * 1024
CLIP_TYPE: Final = "video/mp4"
POSTER_TYPE: Final = "image/jpeg"


@dataclass(frozen=True, slots=True)
class ClipRange:
    """A stretch of the bytes of a clip, to be read once."""

    name: str
    total_bytes: int
    """Size of the whole clip."""
    begin: int
    length: int
    chunks: AsyncIterator[bytes]
    """``length`` bytes, in pieces of at most ``CHUNK_BYTES``. Raises EvidenceStoreFailed."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the machine has to say of an incident: with its signals, why it was decided."""

    incident: Incident
    scores: tuple[ScorePoint, ...]
    """In media time, oldest first. Of before, in and after the clip."""
    clip_bytes: int
    """Size of the clip; 0 where there is none."""
