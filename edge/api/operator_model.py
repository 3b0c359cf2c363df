"""Operator calls for the model in force: show and replace it."""

from __future__ import annotations

import math
from pathlib import Path

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import OperatorCalls
from edge.api.status import Context, answers_errors
from edge.contract.gen import operator_pb2
from edge.errors import InvalidInput
from edge.supervise.model_swap import ModelInForce

_MAX_PATH_CHARS = 4096
_MAX_BUDGET_MS = 10_000.0


class ModelCalls(OperatorCalls):
    @answers_errors
    async def GetModel(self, request: operator_pb2.GetModelRequest, context: Context) -> operator_pb2.Model:
        await self.person(context, Role.VIEWER)
        return _model(await self._gate.model_swap.current())

    @answers_errors
    async def SetModel(self, request: operator_pb2.SetModelRequest, context: Context) -> operator_pb2.Model:
        person = await self.person(context, Role.ADMIN)
        directory = Path(bounds.text("directory", request.directory, _MAX_PATH_CHARS, required=True))
        if not directory.is_absolute():
            raise InvalidInput("directory", "must be an absolute path on the gate's machine")
        budget_ms = request.budget_ms
        if not math.isfinite(budget_ms) or not 0 <= budget_ms <= _MAX_BUDGET_MS:
            raise InvalidInput("budget_ms", f"must be between 0 and {_MAX_BUDGET_MS:g}")
        expected = bounds.text("expected_digest", request.expected_digest, 64)
        reason = self.reason(request.reason)
        return _model(await self._gate.model_swap.swap(directory, expected, budget_ms, reason, person.name))


def _model(found: ModelInForce) -> operator_pb2.Model:
    choice = found.choice
    return operator_pb2.Model(
        name=found.pack.manifest.name,
        version=found.pack.manifest.version,
        digest=found.pack.digest,
        directory=str(found.pack.directory),
        categories=found.pack.manifest.categories,
        set_wall_ms=choice.set_wall_ms if choice else 0,
        set_by=choice.set_by if choice else "",
        reason=choice.reason if choice else "",
        sample_ms=choice.sample_ms if choice else 0.0,
        notes=found.notes,
    )
