"""Operator calls for the queue of incidents that wait: rank, next job, undo, comments."""

from __future__ import annotations

from typing import Final

from edge.api import bounds
from edge.api.auth import Person, Role
from edge.api.operator_calls import OperatorCalls, ident, limit
from edge.api.operator_incidents import BANKING_S
from edge.api.status import Context, answers_errors
from edge.contract.gen import operator_pb2
from edge.contract.operator import comment_to_proto, incident_to_proto
from edge.domain import Incident, Severity
from edge.errors import InvalidInput
from edge.ledger.comments import MAX_COMMENT_BYTES
from edge.ledger.incidents import UNDECIDED
from edge.policy import TENANT_ATTRIBUTE
from edge.supervise.review_queue import QueuedIncident, QueueFilter

ONLY: Final = ("live", "mine", "free")
SEVERITIES: Final = tuple(severity.value for severity in Severity)
STATES: Final = tuple(state.value for state in UNDECIDED)
_MOST_COUNTS: Final = 100
"""Most values of one facet that an answer counts."""


class QueueCalls(OperatorCalls):
    @answers_errors
    async def ListWaiting(
        self, request: operator_pb2.ListWaitingRequest, context: Context
    ) -> operator_pb2.ListWaitingResponse:
        person = await self.person(context, Role.VIEWER)
        view = await self._gate.queue.view(self._filter(request.filter, person), limit(request.limit))
        ids = [queued.waiting.id for queued in view.queued]
        gate = self._gate
        found = await gate.executor.call(gate.ledger.incidents_of, ids)
        standings = await gate.executor.call(gate.ledger.standings, ids, gate.clock.wall_ms())
        answer = operator_pb2.ListWaitingResponse(
            matching=view.matching, total=view.total, oldest_wall_ms=view.oldest_ms
        )
        for queued in view.queued:
            incident = found.get(queued.waiting.id)
            if incident is not None:  # else it is gone since
                shown = self.shown_stream_id(person, incident.stream_id)
                answer.waiting.append(
                    _waiting(queued, incident_to_proto(incident, standings[incident.id], shown))
                )
        for facet, counts in view.counts.items():
            most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_MOST_COUNTS]
            answer.counts.extend(
                operator_pb2.WaitingCount(facet=facet, value=value, incidents=count) for value, count in most
            )
        return answer

    @answers_errors
    async def ClaimNext(
        self, request: operator_pb2.ClaimNextRequest, context: Context
    ) -> operator_pb2.Incident:
        person = await self.person(context, Role.REVIEWER)
        wanted = self._filter(request.filter, person)
        claimed = await self._gate.reviews.claim_next(wanted, person.name, senior=person.role >= Role.ADMIN)
        return await self._as_proto(claimed)

    @answers_errors
    async def UndoReview(
        self, request: operator_pb2.UndoReviewRequest, context: Context
    ) -> operator_pb2.Incident:
        person = await self.person(context, Role.REVIEWER)
        incident_id = ident("incident_id", request.incident_id)
        return await self._as_proto(await self._gate.reviews.undo(incident_id, person.name, BANKING_S))

    @answers_errors
    async def CommentIncident(
        self, request: operator_pb2.CommentIncidentRequest, context: Context
    ) -> operator_pb2.Comment:
        person = await self.person(context, Role.REVIEWER)
        text = bounds.text("text", request.text, MAX_COMMENT_BYTES, required=True, lines=True).strip()
        if not text:
            raise InvalidInput("text", "must not be empty")
        incident_id = ident("incident_id", request.incident_id)
        return comment_to_proto(await self._gate.reviews.comment(incident_id, text, person.name))

    async def ranked(self, incident_id: str) -> operator_pb2.WaitingIncident:
        """An incident as the queue would rank it now, waiting or not, for the pages about it."""
        incident = (await self._gate.reviews.case(incident_id)).incident
        return _waiting(await self._gate.queue.one(incident), await self._as_proto(incident))

    async def _as_proto(self, incident: Incident) -> operator_pb2.Incident:
        gate = self._gate
        standings = await gate.executor.call(gate.ledger.standings, [incident.id], gate.clock.wall_ms())
        return incident_to_proto(incident, standings[incident.id])

    def _filter(self, asked: operator_pb2.QueueFilter, person: Person) -> QueueFilter:
        return QueueFilter(
            category=bounds.text("filter.category", asked.category, 64),
            app=bounds.text("filter.app", asked.app, self._gate.settings.limits.max_app_chars),
            tenant=bounds.text("filter.tenant", asked.tenant, 512),
            severity=_one_of("filter.severity", asked.severity, SEVERITIES),
            language=bounds.text("filter.language", asked.language, 64),
            state=_one_of("filter.state", asked.state, STATES),
            only=_one_of("filter.only", asked.only, ONLY),
            name=person.name,
        )


def _one_of(field: str, given: str, known: tuple[str, ...]) -> str:
    if given and given not in known:
        raise InvalidInput(field, f"{given[:64]!r} is none of {', '.join(known)}")
    return given


def _waiting(queued: QueuedIncident, incident: operator_pb2.Incident) -> operator_pb2.WaitingIncident:
    return operator_pb2.WaitingIncident(
        incident=incident,
        priority=queued.priority,
        live=queued.live,
        severe=queued.severe,
        score=queued.waiting.score,
        strikes=queued.strikes,
        viewers=queued.viewers,
        tenant=queued.waiting.publish.attributes.get(TENANT_ATTRIBUTE, ""),
        language=queued.queue.language,
    )
