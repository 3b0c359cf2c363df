"""Operator calls for crises: declare, confirm, end, read, and give footage to them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import OperatorCalls, limit
from edge.api.status import Context, answers_errors
from edge.contract.gen import operator_pb2
from edge.crisis import DRILL_APP, Crisis, CrisisState
from edge.errors import InvalidInput, LimitExceeded
from edge.ledger import AuditRow
from edge.policy import MAX_POLICY_BYTES, Patch
from edge.pullers.pull_url import MAX_URL_CHARACTERS

MAX_DATA_BYTES: Final = 1024 * 1024
_MAX_NAME: Final = 48
_MAX_FILE_NAME: Final = 255
_MAX_APPS: Final = 32
_MAX_APP: Final = 128
_MAX_MS: Final = 30 * 86_400_000
_STATES: Final = {
    CrisisState.PROPOSED: operator_pb2.CRISIS_STATE_PROPOSED,
    CrisisState.IN_FORCE: operator_pb2.CRISIS_STATE_IN_FORCE,
    CrisisState.ENDED: operator_pb2.CRISIS_STATE_ENDED,
}


class CrisisCalls(OperatorCalls):
    @answers_errors
    async def DeclareCrisis(
        self, request: operator_pb2.DeclareCrisisRequest, context: Context
    ) -> operator_pb2.Crisis:
        person = await self.person(context, Role.ADMIN)
        if len(request.apps) > _MAX_APPS:
            raise LimitExceeded("apps", _MAX_APPS, len(request.apps), "globs")
        made = await self._gate.crises.declare(
            Crisis(
                name=_name(request.name),
                reason=self.reason(request.reason),
                for_ms=bounds.number("duration_ms", request.duration_ms, 1, _MAX_MS),
                declared_ms=self._gate.clock.wall_ms(),
                declared_by=person.name,
                state=CrisisState.PROPOSED,
                patch=_patch(request.patch_json),
                apps=(DRILL_APP,)
                if request.drill
                else tuple(bounds.text("apps", app, _MAX_APP, required=True) for app in request.apps),
                share=request.share,
                drill=request.drill,
            )
        )
        return crisis_to_proto(made)

    @answers_errors
    async def ConfirmCrisis(
        self, request: operator_pb2.ConfirmCrisisRequest, context: Context
    ) -> operator_pb2.Crisis:
        person = await self.person(context, Role.ADMIN)
        name, reason = _name(request.name), self.reason(request.reason)
        return crisis_to_proto(await self._gate.crises.confirm(name, person.name, reason))

    @answers_errors
    async def EndCrisis(
        self, request: operator_pb2.EndCrisisRequest, context: Context
    ) -> operator_pb2.Crisis:
        person = await self.person(context, Role.ADMIN)
        name, reason = _name(request.name), self.reason(request.reason)
        return crisis_to_proto(await self._gate.crises.end(name, person.name, reason))

    @answers_errors
    async def ListCrises(
        self, request: operator_pb2.ListCrisesRequest, context: Context
    ) -> operator_pb2.ListCrisesResponse:
        await self.person(context, Role.VIEWER)
        found = await self._gate.executor.call(
            self._gate.ledger.crises, ended=not request.only_open, limit=limit(request.limit)
        )
        return operator_pb2.ListCrisesResponse(crises=[crisis_to_proto(crisis) for crisis in found])

    @answers_errors
    async def GetCrisis(
        self, request: operator_pb2.GetCrisisRequest, context: Context
    ) -> operator_pb2.GetCrisisResponse:
        await self.person(context, Role.VIEWER)
        crisis, log, report = await self._gate.crises.report(_name(request.name))
        return operator_pb2.GetCrisisResponse(
            crisis=crisis_to_proto(crisis),
            log=[_log_entry(row) for row in log],
            report_json=json.dumps(dataclasses.asdict(report), ensure_ascii=False),
        )

    @answers_errors
    async def AddToCrisis(
        self, request_iterator: AsyncIterator[operator_pb2.AddToCrisisRequest], context: Context
    ) -> operator_pb2.AddToCrisisResponse:
        person = await self.person(context, Role.REVIEWER)
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise InvalidInput("name", "the first message must name the crisis")
        name = _name(first.name)
        url = bounds.text("url", first.url, MAX_URL_CHARACTERS)
        file_name = bounds.text("file_name", first.file_name, _MAX_FILE_NAME)
        note = bounds.text("note", first.note, self._gate.settings.limits.max_reason_chars)
        if bool(url) == bool(file_name):
            raise InvalidInput("url", "give either a URL or a file with its file_name")
        footage = self._gate.crisis_footage
        if url:
            added = await footage.add_url(name, url, note, person.name)
        else:
            data = _pieces(first, request_iterator)
            added = await footage.add_file(name, file_name, data, note, person.name)
        return operator_pb2.AddToCrisisResponse(entry_id=added.entry, hashes=added.hashes, kind=added.kind)


async def _pieces(
    first: operator_pb2.AddToCrisisRequest, further: AsyncIterator[operator_pb2.AddToCrisisRequest]
) -> AsyncIterator[bytes]:
    yield _piece(first)
    async for message in further:
        yield _piece(message)


def _piece(message: operator_pb2.AddToCrisisRequest) -> bytes:
    if len(message.data) > MAX_DATA_BYTES:
        raise LimitExceeded("data", MAX_DATA_BYTES, len(message.data), "bytes in a message")
    return message.data


def _name(given: str) -> str:
    return bounds.text("name", given, _MAX_NAME, required=True)


def _patch(text: str) -> Patch:
    if (size := len(text.encode())) > MAX_POLICY_BYTES:
        raise LimitExceeded("patch_json", MAX_POLICY_BYTES, size, "bytes")
    if not text:
        return {}
    try:
        patch: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("patch_json", f"is no JSON: {error}") from None
    if not isinstance(patch, dict):
        raise InvalidInput("patch_json", "must be an object: a JSON Merge Patch of the policy")
    return patch


def crisis_to_proto(crisis: Crisis) -> operator_pb2.Crisis:
    return operator_pb2.Crisis(
        name=crisis.name,
        state=_STATES[crisis.state],
        reason=crisis.reason,
        declared_by=crisis.declared_by,
        declared_wall_ms=crisis.declared_ms,
        confirmed_by=crisis.confirmed_by or "",
        begun_wall_ms=crisis.begun_ms or 0,
        until_wall_ms=crisis.until_ms,
        ended_wall_ms=crisis.ended_ms or 0,
        ended_by=crisis.ended_by or "",
        end_reason=crisis.end_reason or "",
        patch_json=json.dumps(crisis.patch, ensure_ascii=False),
        apps=crisis.apps,
        share=crisis.share,
        drill=crisis.drill,
        bank=crisis.bank,
    )


def _log_entry(row: AuditRow) -> operator_pb2.CrisisLogEntry:
    return operator_pb2.CrisisLogEntry(
        number=row.number, wall_ms=row.wall_ms, who=row.who, what=row.what, detail_json=row.detail
    )
