"""Operator calls for blocks and strikes: list, add, lift, confirm, pardon."""

from __future__ import annotations

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import MAX_SUBJECT_CHARS, OperatorCalls, ident, limit, optional
from edge.api.status import Context, answers_errors
from edge.contract.gen import operator_pb2
from edge.contract.operator import block_to_proto, severity_from_proto, strike_to_proto
from edge.domain import PERMANENT_MS, SubjectKind
from edge.errors import InvalidInput
from edge.names import MAX_BROADCASTER


class BlockCalls(OperatorCalls):
    @answers_errors
    async def ListBlocks(
        self, request: operator_pb2.ListBlocksRequest, context: Context
    ) -> operator_pb2.ListBlocksResponse:
        await self.person(context, Role.VIEWER)
        blocks = await self._gate.executor.call(
            self._gate.ledger.blocks,
            include_ended=request.include_ended,
            subject=optional("subject", request.subject, MAX_SUBJECT_CHARS),
            incident_id=optional("incident_id", request.incident_id),
            limit=limit(request.limit),
            before_id=optional("before_id", request.before_id),
            wall_ms=self._gate.clock.wall_ms(),
        )
        return operator_pb2.ListBlocksResponse(blocks=[block_to_proto(block) for block in blocks])

    @answers_errors
    async def AddBlock(self, request: operator_pb2.AddBlockRequest, context: Context) -> operator_pb2.Block:
        person = await self.person(context, Role.REVIEWER)
        kind = bounds.text("subject_kind", request.subject_kind, 64) or SubjectKind.BROADCASTER.value
        if kind not in {member.value for member in SubjectKind}:
            known = ", ".join(member.value for member in SubjectKind)
            raise InvalidInput("subject_kind", f"{kind!r} is none of {known}")
        block = await self._gate.actions.add_block(
            SubjectKind(kind),
            bounds.text("subject", request.subject, MAX_SUBJECT_CHARS, required=True),
            bounds.text("app", request.app, self._gate.settings.limits.max_app_chars),
            bounds.number("duration_ms", request.duration_ms, 0, PERMANENT_MS),
            self.reason(request.reason),
            person.name,
        )
        return block_to_proto(block)

    @answers_errors
    async def ConfirmBlock(
        self, request: operator_pb2.ConfirmBlockRequest, context: Context
    ) -> operator_pb2.Block:
        person = await self.person(context, Role.REVIEWER)
        block = await self._gate.actions.confirm_block(
            ident("block_id", request.block_id), self.reason(request.reason), person.name
        )
        return block_to_proto(block)

    @answers_errors
    async def LiftBlock(self, request: operator_pb2.LiftBlockRequest, context: Context) -> operator_pb2.Block:
        person = await self.person(context, Role.REVIEWER)
        block = await self._gate.actions.lift_block(
            ident("block_id", request.block_id), self.reason(request.reason), person.name
        )
        return block_to_proto(block)

    @answers_errors
    async def ListStrikes(
        self, request: operator_pb2.ListStrikesRequest, context: Context
    ) -> operator_pb2.ListStrikesResponse:
        await self.person(context, Role.VIEWER)
        strikes = await self._gate.executor.call(
            self._gate.ledger.strikes,
            broadcaster=optional("broadcaster", request.broadcaster, MAX_BROADCASTER),
            include_pardoned=request.include_pardoned,
            limit=limit(request.limit),
            before_id=optional("before_id", request.before_id),
        )
        return operator_pb2.ListStrikesResponse(strikes=[strike_to_proto(strike) for strike in strikes])

    @answers_errors
    async def AddStrike(
        self, request: operator_pb2.AddStrikeRequest, context: Context
    ) -> operator_pb2.AddStrikeResponse:
        person = await self.person(context, Role.REVIEWER)
        strike, blocks = await self._gate.actions.add_strike(
            bounds.text("broadcaster", request.broadcaster, MAX_BROADCASTER),
            bounds.text("app", request.app, self._gate.settings.limits.max_app_chars),
            bounds.text("category", request.category, 64),
            severity_from_proto(bounds.member("severity", request.severity, operator_pb2.Severity.values())),
            self.reason(request.reason),
            person.name,
            optional("incident_id", request.incident_id),
        )
        return operator_pb2.AddStrikeResponse(
            strike=strike_to_proto(strike),
            blocks=[block_to_proto(block) for block in blocks],
        )

    @answers_errors
    async def PardonStrike(
        self, request: operator_pb2.PardonStrikeRequest, context: Context
    ) -> operator_pb2.Strike:
        person = await self.person(context, Role.REVIEWER)
        strike = await self._gate.actions.pardon_strike(
            ident("strike_id", request.strike_id), self.reason(request.reason), person.name
        )
        return strike_to_proto(strike)
