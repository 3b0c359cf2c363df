"""The Operator service: what people and their tools call."""

from __future__ import annotations

import grpc

from edge.api import bounds, convert
from edge.api.auth import Person, Role, TokenFile
from edge.api.gen import gate_pb2, operator_pb2, operator_pb2_grpc
from edge.api.status import Context, answers_errors
from edge.domain import PERMANENT_MS, IncidentState, SubjectKind
from edge.errors import ConfigError, InvalidInput, NotFound
from edge.policy import parse_policy
from edge.supervise import Gate

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000
_DEFAULT_POLICIES = 20
_MAX_POLICIES = 100
_MAX_SUBJECT_CHARS = 512
"""A broadcaster may be `app/name`, so this is more than either."""


class OperatorServicer(operator_pb2_grpc.OperatorServicer):
    def __init__(self, gate: Gate, tokens: TokenFile) -> None:
        self._gate = gate
        self._tokens = tokens

    async def _person(self, context: Context, needed: Role) -> Person:
        """The caller, or the call ends with UNAUTHENTICATED or PERMISSION_DENIED."""
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        try:
            person = self._tokens.identify(given if isinstance(given, str) else "")
        except ConfigError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"token file: {error}")
            raise
        if person is None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "authorization: a valid `Bearer TOKEN` is needed"
            )
            raise AssertionError
        if person.role < needed:
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"role {person.role.name.lower()} may not do this: {needed.name.lower()} is needed",
            )
        return person

    @answers_errors
    async def GetPolicy(
        self, request: operator_pb2.GetPolicyRequest, context: Context
    ) -> operator_pb2.Policy:
        await self._person(context, Role.VIEWER)
        if request.version:
            stored = await self._gate.thread.call(self._gate.ledger.policy_version, request.version)
        else:
            stored = await self._gate.thread.call(self._gate.ledger.policy_current)
        if stored is None:
            raise NotFound("policy version", str(request.version or "in force"))
        return convert.policy_to_proto(stored)

    @answers_errors
    async def ListPolicies(
        self, request: operator_pb2.ListPoliciesRequest, context: Context
    ) -> operator_pb2.ListPoliciesResponse:
        await self._person(context, Role.VIEWER)
        history = await self._gate.thread.call(
            self._gate.ledger.policy_history,
            limit=bounds.number("limit", request.limit, 0, _MAX_POLICIES) or _DEFAULT_POLICIES,
            before_version=bounds.number("before_version", request.before_version, 0, 2**31 - 1) or None,
        )
        return operator_pb2.ListPoliciesResponse(
            policies=[convert.policy_to_proto(stored) for stored in history]
        )

    @answers_errors
    async def SetPolicy(
        self, request: operator_pb2.SetPolicyRequest, context: Context
    ) -> operator_pb2.Policy:
        person = await self._person(context, Role.ADMIN)
        policy = parse_policy(request.json)
        reason = bounds.text("reason", request.reason, self._gate.settings.limits.max_reason_chars)
        stored = await self._gate.operating.set_policy(policy, person.name, reason, request.expected_version)
        return operator_pb2.Policy(
            version=stored.version,
            json=stored.model_dump_json(indent=2),
            created_wall_ms=self._gate.clock.wall_ms(),
            created_by=person.name,
            reason=reason,
        )

    @answers_errors
    async def ListStreams(
        self, request: operator_pb2.ListStreamsRequest, context: Context
    ) -> operator_pb2.ListStreamsResponse:
        await self._person(context, Role.VIEWER)
        response = operator_pb2.ListStreamsResponse()
        for stream in self._gate.registry:
            response.streams.add(
                stream_id=stream.id,
                server=stream.publish.server,
                connection=stream.publish.connection,
                app=stream.publish.app,
                name=stream.publish.name,
                broadcaster=stream.publish.broadcaster,
                address=stream.publish.address,
                started_wall_ms=stream.started_ms,
                watch_mode=gate_pb2.WATCH_MODE_PUSH if stream.url is None else gate_pb2.WATCH_MODE_PULL,
                watched=stream.owned,
                tier=convert.tier_to_proto(stream.tier),
                score=stream.score,
                action=convert.action_to_proto(stream.action),
                samples=stream.samples,
                shed=stream.shed,
                cleared_pts_ms=stream.cleared_pts_ms,
            )
        return response

    @answers_errors
    async def ListIncidents(
        self, request: operator_pb2.ListIncidentsRequest, context: Context
    ) -> operator_pb2.ListIncidentsResponse:
        await self._person(context, Role.VIEWER)
        incidents = await self._gate.thread.call(
            self._gate.ledger.incidents,
            broadcaster=bounds.text("broadcaster", request.broadcaster, _MAX_SUBJECT_CHARS) or None,
            state=convert.state_from_proto(request.state),
            limit=_limit(request.limit),
            before_id=bounds.text("before_id", request.before_id, 64) or None,
        )
        return operator_pb2.ListIncidentsResponse(
            incidents=[convert.incident_to_proto(incident) for incident in incidents]
        )

    @answers_errors
    async def ReviewIncident(
        self, request: operator_pb2.ReviewIncidentRequest, context: Context
    ) -> operator_pb2.Incident:
        person = await self._person(context, Role.REVIEWER)
        decision = convert.state_from_proto(request.decision)
        if decision is None or decision is IncidentState.OPEN:
            raise InvalidInput("decision", "must be CONFIRMED, OVERTURNED or ESCALATED")
        incident = await self._gate.reviewing.review(
            bounds.text("incident_id", request.incident_id, 64, required=True),
            decision,
            bounds.text("reason", request.reason, self._gate.settings.limits.max_reason_chars, required=True),
            person.name,
        )
        return convert.incident_to_proto(incident)

    @answers_errors
    async def ListBlocks(
        self, request: operator_pb2.ListBlocksRequest, context: Context
    ) -> operator_pb2.ListBlocksResponse:
        await self._person(context, Role.VIEWER)
        blocks = await self._gate.thread.call(
            self._gate.ledger.blocks,
            include_ended=request.include_ended,
            subject=bounds.text("subject", request.subject, _MAX_SUBJECT_CHARS) or None,
            limit=_limit(request.limit),
            before_id=bounds.text("before_id", request.before_id, 64) or None,
            wall_ms=self._gate.clock.wall_ms(),
        )
        return operator_pb2.ListBlocksResponse(blocks=[convert.block_to_proto(block) for block in blocks])

    @answers_errors
    async def AddBlock(self, request: operator_pb2.AddBlockRequest, context: Context) -> operator_pb2.Block:
        person = await self._person(context, Role.REVIEWER)
        kind = request.subject_kind or SubjectKind.BROADCASTER.value
        if kind not in {member.value for member in SubjectKind}:
            known = ", ".join(member.value for member in SubjectKind)
            raise InvalidInput("subject_kind", f"{kind!r} is none of {known}")
        block = await self._gate.operating.add_block(
            SubjectKind(kind),
            bounds.text("subject", request.subject, _MAX_SUBJECT_CHARS, required=True),
            bounds.text("app", request.app, self._gate.settings.limits.max_app_chars),
            bounds.number("duration_ms", request.duration_ms, 0, PERMANENT_MS),
            bounds.text("reason", request.reason, self._gate.settings.limits.max_reason_chars, required=True),
            person.name,
        )
        return convert.block_to_proto(block)

    @answers_errors
    async def LiftBlock(self, request: operator_pb2.LiftBlockRequest, context: Context) -> operator_pb2.Block:
        person = await self._person(context, Role.REVIEWER)
        block = await self._gate.operating.lift_block(
            bounds.text("block_id", request.block_id, 64, required=True),
            bounds.text("reason", request.reason, self._gate.settings.limits.max_reason_chars, required=True),
            person.name,
        )
        return convert.block_to_proto(block)


def _limit(given: int) -> int:
    return bounds.number("limit", given, 0, _MAX_LIMIT) or _DEFAULT_LIMIT
