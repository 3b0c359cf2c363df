"""The Operator service: what people and their tools call."""

from __future__ import annotations

import asyncio
import json

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_banks import BankCalls
from edge.api.operator_blocks import BlockCalls
from edge.api.operator_crises import CrisisCalls
from edge.api.operator_evidence import EvidenceCalls
from edge.api.operator_incidents import IncidentCalls
from edge.api.operator_media import MediaCalls
from edge.api.operator_model import ModelCalls
from edge.api.operator_queue import QueueCalls
from edge.api.operator_streams import StreamCalls
from edge.api.status import Context, answers_errors
from edge.contract.gen import operator_pb2, operator_pb2_grpc
from edge.errors import NotFound
from edge.ledger import StoredPolicy
from edge.policy import parse_policy
from edge.policy_warnings import policy_warnings

_DEFAULT_POLICIES = 20
_MAX_POLICIES = 100


class OperatorServicer(
    IncidentCalls,
    QueueCalls,
    EvidenceCalls,
    StreamCalls,
    MediaCalls,
    BlockCalls,
    ModelCalls,
    BankCalls,
    CrisisCalls,
    operator_pb2_grpc.OperatorServicer,
):
    """Serves the policy. The base classes serve the rest."""

    @answers_errors
    async def GetPolicy(
        self, request: operator_pb2.GetPolicyRequest, context: Context
    ) -> operator_pb2.Policy:
        await self.person(context, Role.VIEWER)
        if request.version:
            stored = await self._gate.executor.call(self._gate.ledger.policy_version, request.version)
        else:
            stored = await self._gate.executor.call(self._gate.ledger.policy_current)
        if stored is None:
            raise NotFound("policy version", str(request.version or "in force"))
        return _policy(stored)

    @answers_errors
    async def ListPolicies(
        self, request: operator_pb2.ListPoliciesRequest, context: Context
    ) -> operator_pb2.ListPoliciesResponse:
        await self.person(context, Role.VIEWER)
        history = await self._gate.executor.call(
            self._gate.ledger.policy_history,
            limit=bounds.number("limit", request.limit, 0, _MAX_POLICIES) or _DEFAULT_POLICIES,
            before_version=bounds.number("before_version", request.before_version, 0, 2**31 - 1) or None,
        )
        return operator_pb2.ListPoliciesResponse(policies=[_policy(stored) for stored in history])

    @answers_errors
    async def SetPolicy(
        self, request: operator_pb2.SetPolicyRequest, context: Context
    ) -> operator_pb2.Policy:
        person = await self.person(context, Role.ADMIN)
        # A policy has up to a thousand pairs of overrides: each is checked, and no Admit waits for that.
        policy = await asyncio.to_thread(parse_policy, request.json)
        reason = self.reason(request.reason, required=False)
        stored = await self._gate.actions.set_policy(policy, person.name, reason, request.expected_version)
        judged = await self._gate.model_swap.judged()
        return operator_pb2.Policy(
            version=stored.version,
            json=stored.model_dump_json(indent=2),
            created_wall_ms=self._gate.clock.wall_ms(),
            created_by=person.name,
            reason=reason,
            warnings=await asyncio.to_thread(policy_warnings, stored, judged),
        )


def _policy(stored: StoredPolicy) -> operator_pb2.Policy:
    return operator_pb2.Policy(
        version=stored.version,
        json=_indented(stored.json),
        created_wall_ms=stored.created_ms,
        created_by=stored.created_by,
        reason=stored.reason,
    )


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text
