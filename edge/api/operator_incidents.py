"""Operator calls for incidents and appeals: list, claim, review, decide."""

from __future__ import annotations

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import MAX_SUBJECT_CHARS, OperatorCalls, ident, limit, optional
from edge.api.status import Context, answers_errors
from edge.contract.gen import operator_pb2
from edge.contract.operator import (
    appeal_state_from_proto,
    appeal_to_proto,
    block_to_proto,
    comment_to_proto,
    incident_to_proto,
    state_from_proto,
    strike_to_proto,
)
from edge.domain import PERMANENT_MS, CaseStanding, Incident, IncidentState
from edge.errors import InvalidInput
from edge.ledger.appeals import MAX_TEXT_BYTES

BANKING_S = 4.0
"""How long an answer waits for what was banked. Callers have deadlines of ten seconds."""
_DECISIONS = (IncidentState.CONFIRMED, IncidentState.OVERTURNED, IncidentState.ESCALATED)


class IncidentCalls(OperatorCalls):
    @answers_errors
    async def ListIncidents(
        self, request: operator_pb2.ListIncidentsRequest, context: Context
    ) -> operator_pb2.ListIncidentsResponse:
        person = await self.person(context, Role.VIEWER)
        incidents = await self._gate.executor.call(
            self._gate.ledger.incidents,
            broadcaster=optional("broadcaster", request.broadcaster, MAX_SUBJECT_CHARS),
            state=state_from_proto(
                bounds.member("state", request.state, operator_pb2.IncidentState.values())
            ),
            category=optional("category", request.category),
            app=optional("app", request.app, self._gate.settings.limits.max_app_chars),
            claimed_by=optional("claimed_by", request.claimed_by, 128),
            since_ms=bounds.number("since_wall_ms", request.since_wall_ms, 0, PERMANENT_MS) or None,
            until_ms=bounds.number("until_wall_ms", request.until_wall_ms, 0, PERMANENT_MS) or None,
            limit=limit(request.limit),
            before_id=optional("before_id", request.before_id),
        )
        standings = await self._standings(*incidents)
        return operator_pb2.ListIncidentsResponse(
            incidents=[
                incident_to_proto(
                    incident,
                    standings[incident.id],
                    self.shown_stream_id(person, incident.stream_id),
                )
                for incident in incidents
            ]
        )

    @answers_errors
    async def GetIncident(
        self, request: operator_pb2.GetIncidentRequest, context: Context
    ) -> operator_pb2.GetIncidentResponse:
        person = await self.person(context, Role.VIEWER)
        incident_id = ident("incident_id", request.incident_id)
        reviews = self._gate.reviews
        if request.looking and person.role >= Role.REVIEWER:
            await reviews.look(incident_id, person.name)
        case = await reviews.case(incident_id)
        return operator_pb2.GetIncidentResponse(
            incident=incident_to_proto(
                case.incident,
                (await self._standings(case.incident))[case.incident.id],
                self.shown_stream_id(person, case.incident.stream_id),
            ),
            strike=None if case.strike is None else strike_to_proto(case.strike),
            blocks=[block_to_proto(block) for block in case.blocks],
            appeals=[appeal_to_proto(appeal) for appeal in case.appeals],
            comments=[comment_to_proto(comment) for comment in case.comments],
        )

    @answers_errors
    async def ClaimIncident(
        self, request: operator_pb2.ClaimIncidentRequest, context: Context
    ) -> operator_pb2.Incident:
        person = await self.person(context, Role.REVIEWER)
        incident_id = ident("incident_id", request.incident_id)
        reviews = self._gate.reviews
        act = reviews.release if request.release else reviews.claim
        return await self._answer(await act(incident_id, person.name))

    @answers_errors
    async def ReviewIncident(
        self, request: operator_pb2.ReviewIncidentRequest, context: Context
    ) -> operator_pb2.Incident:
        person = await self.person(context, Role.REVIEWER)
        decision = state_from_proto(request.decision)
        if decision not in _DECISIONS:
            raise InvalidInput("decision", "must be CONFIRMED, OVERTURNED or ESCALATED")
        asked_ms = None
        if request.HasField("stretch"):
            asked_ms = request.stretch.begin_ms, request.stretch.end_ms
        incident = await self._gate.reviews.review(
            ident("incident_id", request.incident_id),
            decision,
            self.reason(request.reason),
            person.name,
            stretch_ms=asked_ms,
            bank_nothing=request.bank_nothing,
            wait_s=BANKING_S,
            senior=person.role >= Role.ADMIN,
        )
        return await self._answer(incident)

    async def _answer(self, incident: Incident) -> operator_pb2.Incident:
        return incident_to_proto(incident, (await self._standings(incident))[incident.id])

    async def _standings(self, *incidents: Incident) -> dict[str, CaseStanding]:
        ids = [incident.id for incident in incidents]
        now = self._gate.clock.wall_ms()
        return await self._gate.executor.call(self._gate.ledger.standings, ids, now)

    @answers_errors
    async def FileAppeal(
        self, request: operator_pb2.FileAppealRequest, context: Context
    ) -> operator_pb2.Appeal:
        person = await self.person(context, Role.PLATFORM)
        appeal = await self._gate.reviews.file_appeal(
            bounds.text("text", request.text, MAX_TEXT_BYTES, required=True, lines=True),
            person.name,
            incident_id=optional("incident_id", request.incident_id),
            block_id=optional("block_id", request.block_id),
        )
        return appeal_to_proto(appeal)

    @answers_errors
    async def ListAppeals(
        self, request: operator_pb2.ListAppealsRequest, context: Context
    ) -> operator_pb2.ListAppealsResponse:
        await self.person(context, Role.VIEWER)
        appeals = await self._gate.executor.call(
            self._gate.ledger.appeals,
            state=appeal_state_from_proto(
                bounds.member("state", request.state, operator_pb2.AppealState.values())
            ),
            broadcaster=optional("broadcaster", request.broadcaster, MAX_SUBJECT_CHARS),
            incident_id=optional("incident_id", request.incident_id),
            limit=limit(request.limit),
            before_id=optional("before_id", request.before_id),
        )
        return operator_pb2.ListAppealsResponse(appeals=[appeal_to_proto(appeal) for appeal in appeals])

    @answers_errors
    async def DecideAppeal(
        self, request: operator_pb2.DecideAppealRequest, context: Context
    ) -> operator_pb2.Appeal:
        person = await self.person(context, Role.REVIEWER)
        appeal = await self._gate.reviews.decide_appeal(
            ident("appeal_id", request.appeal_id),
            self.reason(request.reason),
            person.name,
            grant=request.grant,
            senior=person.role >= Role.ADMIN,
        )
        return appeal_to_proto(appeal)
