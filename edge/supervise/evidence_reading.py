"""Shows evidence to people, whichever gate decided and wherever it is kept. Each reading is audited first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge.domain import Incident
from edge.errors import EvidenceElsewhere
from edge.evidence import EvidenceStore, Poster
from edge.fleet.gate_link import GateLink
from edge.fleet.settings import FleetSection
from edge.supervise.context import Context
from edge.supervise.evidence_notes import EvidenceNotes
from edge.supervise.evidence_of_others import EvidenceOfOthers
from edge.supervise.evidence_parts import Account, ClipRange
from edge.supervise.own_evidence import OwnEvidence
from edge.supervise.reading_places import ReadingPlaces

_GATE: Final = "gate"


class EvidenceReading:
    """Reads evidence for one gate. ``by`` is the person who looks; the audit log gets the name."""

    def __init__(
        self,
        context: Context,
        folder: Path,
        bucket: EvidenceStore | None = None,
        changing: asyncio.Lock | None = None,
        link: GateLink | None = None,
    ) -> None:
        """``bucket`` holds what is not in the folder. ``changing`` is held while files are written or
        erased. ``link``: to other gates of the fleet."""
        self._context = context
        link = link or GateLink(FleetSection(), context.ledger.gate, context.clock)
        places = ReadingPlaces(context.clock)
        self._own = OwnEvidence(context, folder, bucket, changing or asyncio.Lock(), places)
        self._others = EvidenceOfOthers(context, link, places)
        self._asks_others = link.secret is not None
        self.stores = self._own.stores
        self.for_gates = EvidenceForGates(self._own)
        self._notes = EvidenceNotes(context)

    async def clip(self, incident_id: str, by: str, begin: int = 0, length: int = 0) -> ClipRange:
        """Returns a range of the clip's bytes; ``length`` 0: to its end.

        Raises NotFound, InvalidInput for a range outside the clip, EvidenceErased, EvidenceElsewhere,
        GateAway and EvidenceStoreFailed.
        """
        incident = await self._own.incident(incident_id)
        if await self._is_elsewhere(incident):
            await self._notes.add_read(incident.id, "clip", by)
            return await self._others.clip(incident, by, begin, length)
        clip = await self._own.clip(incident, by, begin, length)
        await self._notes.add_read(incident.id, "clip", by)
        return clip

    async def posters(self, incident_id: str, by: str) -> tuple[Poster, ...]:
        """Returns posters of the clip, the most telling first. They are made when they are asked for first.

        Raises BrokenMedia where no frame of the clip can be decoded, PostersLate, and what ``clip``
        raises.
        """
        incident = await self._own.incident(incident_id)
        if await self._is_elsewhere(incident):
            await self._notes.add_read(incident.id, "posters", by)
            return await self._others.posters(incident, by)
        await self._own.found(incident)
        await self._notes.add_read(incident.id, "posters", by)
        return await self._own.posters(incident, by)

    async def account(self, incident_id: str, by: str) -> Account:
        """Returns the incident with the scores around it. Raises NotFound, GateAway and
        EvidenceStoreFailed."""
        incident = await self._own.incident(incident_id)
        await self._notes.add_read(incident.id, "account", by)
        own = await self._own.account(incident)
        if own.scores or own.clip_bytes or not self._is_of_another_gate(incident):
            return own
        try:
            return await self._others.account(incident, by)
        except EvidenceElsewhere as error:
            if error.retryable:
                raise
            return own  # What the ledger has is what the fleet shows without addresses.

    async def bring(self, incident: Incident) -> Incident | None:
        """Returns the incident with its clip as a file of this machine. None: no clip can be had here."""
        path = await self._own.bring(incident, _GATE)
        return None if path is None else replace(incident, evidence_path=str(path))

    def _is_of_another_gate(self, incident: Incident) -> bool:
        erased = incident.evidence_path is None and incident.custody.evidence_erased_ms is not None
        return incident.gate != self._context.ledger.gate and not erased

    async def _is_elsewhere(self, incident: Incident) -> bool:
        """Whether that gate has to be asked. A bucket has what its owner has put there by now."""
        if not self._is_of_another_gate(incident) or (self._own.shared and not self._asks_others):
            return False
        return not await self._own.has_clip(incident)


class EvidenceForGates:
    """Shows what this gate has to another gate, which has signed in the person and audited the reading. What
    yet another gate has is not fetched, so nothing goes in circles."""

    def __init__(self, own: OwnEvidence) -> None:
        self._own = own

    async def clip(self, incident_id: str, by: str, begin: int = 0, length: int = 0) -> ClipRange:
        """Raises what ``OwnEvidence.clip`` raises, and NotFound."""
        return await self._own.clip(await self._own.incident(incident_id), by, begin, length)

    async def posters(self, incident_id: str, by: str) -> tuple[Poster, ...]:
        """The same for ``OwnEvidence.posters``."""
        return await self._own.posters(await self._own.incident(incident_id), by)

    async def account(self, incident_id: str, by: str) -> Account:
        """The same for ``OwnEvidence.account``."""
        return await self._own.account(await self._own.incident(incident_id))
