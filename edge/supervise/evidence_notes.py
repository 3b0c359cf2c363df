"""Writes into the audit log who looks at which evidence, before the first byte of it is shown.

A page of the queue asks for many frames at once: what comes while the ledger writes is written
in one go.
"""

from __future__ import annotations

import asyncio
from typing import Final

from cachetools import TTLCache

from edge.ledger import EvidenceRead
from edge.supervise.context import Context

ONE_READING_S: Final = 600.0
"""A player asks for many ranges of one clip. Within this time they are one reading."""
_REMEMBERED: Final = 16_384
_COVERED: Final = {
    "clip": ("clip",),
    "posters": ("posters", "clip"),
    "account": ("account", "posters", "clip"),
}
"""By part: whose entries of the same person and incident say enough, since they say more."""


class EvidenceNotes:
    """One entry for a person, an incident and a part within ten minutes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._noted: TTLCache[EvidenceRead, bool] = TTLCache(
            _REMEMBERED, ONE_READING_S, timer=lambda: context.clock.monotonic_ms() / 1000
        )
        self._waiting: dict[EvidenceRead, None] = {}
        self._one_writes = asyncio.Lock()

    async def add_read(self, incident_id: str, part: str, by: str) -> None:
        """Returns once it is on record. Raises LedgerUnavailable."""
        read = EvidenceRead(incident_id, part, by)
        if self._is_noted(read):
            return
        self._waiting[read] = None
        async with self._one_writes:
            if self._is_noted(read):
                return
            # Some were written while they waited, for another request of the same person.
            together = [each for each in {**self._waiting, read: None} if not self._is_noted(each)]
            context = self._context
            self._waiting.clear()
            await context.executor.person(
                context.operator_ledger.note_evidence_reads, together, context.clock.wall_ms()
            )
            self._noted.update(dict.fromkeys(together, True))

    def _is_noted(self, read: EvidenceRead) -> bool:
        return any(read._replace(part=part) in self._noted for part in _COVERED[read.part])
