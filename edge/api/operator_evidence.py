"""Operator calls for evidence: clips, frames of them, and what the machine has to say."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import MAX_SUBJECT_CHARS, OperatorCalls, ident
from edge.api.status import Context, answers_errors, authorization_of, streams_errors
from edge.contract.gen import operator_pb2
from edge.contract.operator import account_to_proto, erasure_to_proto, incident_to_proto
from edge.evidence import MAX_FILE_BYTES
from edge.fleet.gate_link import asked_words
from edge.fleet.signing import FleetCall, check, is_fleet_call
from edge.supervise.evidence_parts import CHUNK_BYTES, CLIP_TYPE, POSTER_TYPE
from edge.supervise.evidence_reading import EvidenceForGates, EvidenceReading


class EvidenceCalls(OperatorCalls):
    @streams_errors
    async def GetEvidence(
        self, request: operator_pb2.GetEvidenceRequest, context: Context
    ) -> AsyncIterator[operator_pb2.EvidenceChunk]:
        evidence: EvidenceReading | EvidenceForGates = self._gate.evidence
        if is_fleet_call(authorization := authorization_of(context)):
            by = self._signed(authorization, request).by
            evidence = self._gate.evidence.for_gates
        else:
            by = (await self.person(context, Role.VIEWER)).name
        incident_id = ident("incident_id", request.incident_id)
        part = bounds.member("part", request.part, operator_pb2.EvidencePart.values())
        begin = bounds.number("begin_bytes", request.begin_bytes, 0, MAX_FILE_BYTES)
        length = bounds.number("length_bytes", request.length_bytes, 0, MAX_FILE_BYTES)
        if part == operator_pb2.EVIDENCE_PART_ACCOUNT:
            account = await evidence.account(incident_id, by)
            yield operator_pb2.EvidenceChunk(
                account=account_to_proto(account.incident, account.scores, account.clip_bytes)
            )
        elif part == operator_pb2.EVIDENCE_PART_POSTERS:
            for poster in await evidence.posters(incident_id, by):
                yield _file(
                    f"{incident_id}.{poster.clip_ms}.jpg",
                    POSTER_TYPE,
                    len(poster.jpeg),
                    clip_ms=poster.clip_ms,
                )
                for at in range(0, len(poster.jpeg), CHUNK_BYTES):
                    yield operator_pb2.EvidenceChunk(data=poster.jpeg[at : at + CHUNK_BYTES])
        else:
            clip = await evidence.clip(incident_id, by, begin, length)
            yield _file(clip.name, CLIP_TYPE, clip.total_bytes, clip.begin, clip.length)
            async for data in clip.chunks:
                yield operator_pb2.EvidenceChunk(data=data)

    def _signed(self, authorization: str, request: operator_pb2.GetEvidenceRequest) -> FleetCall:
        """Raises NotSignedIn and PermissionRefused."""
        gate = self._gate
        asked, now_ms = asked_words(request), gate.clock.wall_ms()
        return check(gate.link.secret, authorization, gate.ledger.gate, asked, now_ms)

    @answers_errors
    async def HoldEvidence(
        self, request: operator_pb2.HoldEvidenceRequest, context: Context
    ) -> operator_pb2.Incident:
        person = await self.person(context, Role.ADMIN)
        incident = await self._gate.evidence_keeper.hold(
            ident("incident_id", request.incident_id),
            self.reason(request.reason),
            person.name,
            release=request.release,
        )
        now = self._gate.clock.wall_ms()
        standings = await self._gate.executor.call(self._gate.ledger.standings, [incident.id], now)
        return incident_to_proto(incident, standings[incident.id])

    @answers_errors
    async def EraseEvidence(
        self, request: operator_pb2.EraseEvidenceRequest, context: Context
    ) -> operator_pb2.EraseEvidenceResponse:
        person = await self.person(context, Role.ADMIN)
        outcome = await self._gate.evidence_keeper.erase_broadcaster(
            bounds.text("broadcaster", request.broadcaster, MAX_SUBJECT_CHARS, required=True),
            self.reason(request.reason),
            person.name,
        )
        return operator_pb2.EraseEvidenceResponse(
            erased=[erasure_to_proto(erasure) for erasure in outcome.erased],
            held_incident_ids=outcome.on_hold,
            waiting_incident_ids=outcome.waiting,
        )


def _file(
    name: str,
    media_type: str,
    total: int,
    begin: int = 0,
    length: int | None = None,
    *,
    clip_ms: int | None = None,
) -> operator_pb2.EvidenceChunk:
    return operator_pb2.EvidenceChunk(
        file=operator_pb2.EvidenceFile(
            name=name,
            media_type=media_type,
            total_bytes=total,
            begin_bytes=begin,
            length_bytes=total if length is None else length,
            clip_ms=clip_ms,
        )
    )
