"""Fetches evidence from the gate of the fleet that has it.

It is relayed and not copied: what a gate keeps, holds and erases stays in one place, so an erasure is whole
as soon as that gate has done it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from cachetools import TTLCache

from edge.contract.gen import operator_pb2
from edge.domain import Incident, ScorePoint
from edge.errors import EvidenceStoreFailed
from edge.evidence import MAX_FILE_BYTES, EvidenceFileKind, Poster, file_name
from edge.evidence.posters import MAX_BYTES as MAX_POSTERS_BYTES
from edge.fleet.gate_link import GateLink
from edge.supervise.context import Context
from edge.supervise.evidence_parts import CHUNK_BYTES, Account, ClipRange
from edge.supervise.reading_places import ReadingPlaces

_ADDRESS_S: Final = 5.0
_GATES: Final = 1024
_MOST_SCORES: Final = 100_000


class EvidenceOfOthers:
    """Asks the gate that decided an incident. Nothing here is audited: whoever calls has done that."""

    def __init__(self, context: Context, link: GateLink, places: ReadingPlaces) -> None:
        self._context = context
        self._link = link
        self._places = places
        self._urls: TTLCache[str, str | None] = TTLCache(
            _GATES, _ADDRESS_S, timer=lambda: context.clock.monotonic_ms() / 1000
        )

    async def clip(self, incident: Incident, by: str, begin: int = 0, length: int = 0) -> ClipRange:
        """As ``OwnEvidence.clip``. Also raises GateAway and EvidenceElsewhere."""
        self._places.check(by)
        part = operator_pb2.EVIDENCE_PART_CLIP
        answer = self._ask(incident, by, part, begin_bytes=begin, length_bytes=length)
        first = await anext(answer, None)
        if first is None or not first.HasField("file"):
            raise self._wrong(incident)
        file = first.file
        total, length = file.total_bytes, file.length_bytes
        if not 0 <= begin + length <= total <= MAX_FILE_BYTES or file.begin_bytes != begin or length < 0:
            await answer.aclose()
            raise self._wrong(incident)
        name = file_name(incident.id, EvidenceFileKind.CLIP)
        chunks = self._places.pass_on(self._bytes(answer, incident, length), by)
        return ClipRange(name, total, begin, length, chunks)

    async def posters(self, incident: Incident, by: str) -> tuple[Poster, ...]:
        """As ``OwnEvidence.posters``."""
        pictures: list[tuple[int, bytearray]] = []
        most = MAX_POSTERS_BYTES
        async for chunk in self._ask(incident, by, operator_pb2.EVIDENCE_PART_POSTERS):
            if chunk.HasField("file"):
                pictures.append((chunk.file.clip_ms, bytearray()))
            elif not pictures or (most := most - len(chunk.data)) < 0:
                raise self._wrong(incident)
            else:
                pictures[-1][1].extend(chunk.data)
        return tuple(Poster(clip_ms, bytes(jpeg)) for clip_ms, jpeg in pictures)

    async def account(self, incident: Incident, by: str) -> Account:
        """As ``OwnEvidence.account``."""
        begin_ms = incident.evidence_begin_pts_ms or 0
        async for chunk in self._ask(incident, by, operator_pb2.EVIDENCE_PART_ACCOUNT):
            if chunk.HasField("account") and len(chunk.account.scores) <= _MOST_SCORES:
                scores = tuple(
                    ScorePoint(begin_ms + point.clip_ms, point.category, point.score)
                    for point in chunk.account.scores
                )
                return Account(incident, scores, chunk.account.clip_bytes)
        raise self._wrong(incident)

    async def _ask(
        self,
        incident: Incident,
        by: str,
        part: operator_pb2.EvidencePart.ValueType,
        begin_bytes: int = 0,
        length_bytes: int = 0,
    ) -> AsyncGenerator[operator_pb2.EvidenceChunk]:
        request = operator_pb2.GetEvidenceRequest(
            incident_id=incident.id, part=part, begin_bytes=begin_bytes, length_bytes=length_bytes
        )
        url = await self._url_of(incident.gate)
        async for chunk in self._link.ask(incident.gate, url, request, by):
            yield chunk

    async def _url_of(self, gate: str) -> str | None:
        if gate not in self._urls:
            context = self._context
            self._urls[gate] = await context.executor.person(context.operator_ledger.gate_url, gate)
        return self._urls[gate]

    async def _bytes(
        self, answer: AsyncIterator[operator_pb2.EvidenceChunk], incident: Incident, length: int
    ) -> AsyncGenerator[bytes]:
        left = length
        async for chunk in answer:
            if not chunk.data or len(chunk.data) > min(left, CHUNK_BYTES):
                raise self._wrong(incident)
            left -= len(chunk.data)
            yield chunk.data
        if left:
            raise self._wrong(incident)

    def _wrong(self, incident: Incident) -> EvidenceStoreFailed:
        return EvidenceStoreFailed(
            f"gate {incident.gate!r} gives another answer than it was asked for: read the evidence again"
        )
