"""Evidence as browsers show it: clips with ranges and frames, of two fixed media types, sandboxed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Final, cast

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from edge.api.operator_calls import ident
from edge.api.status import Context
from edge.console.calls import CallInProcess
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.errors import CallRefused, InvalidInput, NotFound, PermissionRefused

EVIDENCE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "cache-control": "private, no-store",
    "content-disposition": "inline",
}
SPENT: Final = "x-console-spent"
"""Header of the answer that ends the watching."""
_RANGE: Final = re.compile(r"bytes=(\d{1,15})-(\d{0,15})", re.ASCII)
_MOST_BYTES: Final = 1 << 20
"""Of one answer to a range. A player that has enough leaves a longer one unread, and the server ends what is
not read."""


async def clip(visit: Visit) -> Response:
    """The MP4. Ranges are served, so that a player can seek."""
    if visit.spent:
        raise PermissionRefused("you have watched as much evidence as anybody may in a day")
    asked = _RANGE.fullmatch(visit.request.headers.get("range", ""))
    begin = int(asked[1]) if asked else 0
    length = 0
    if asked:
        length = min(int(asked[2] or begin + _MOST_BYTES) - begin + 1, _MOST_BYTES)
        if length <= 0:  # it ends before it begins
            return Response(status_code=416, headers=EVIDENCE_HEADERS)
    chunks = _read(visit, operator_pb2.EVIDENCE_PART_CLIP, begin, length)
    try:
        file = (await anext(chunks)).file
    except CallRefused as error:
        if asked and error.status == 400:
            return Response(status_code=416, headers=EVIDENCE_HEADERS)
        raise
    headers = {**EVIDENCE_HEADERS, "accept-ranges": "bytes", "content-length": str(file.length_bytes)}
    if asked:
        last = file.begin_bytes + file.length_bytes - 1
        headers["content-range"] = f"bytes {file.begin_bytes}-{last}/{file.total_bytes}"
    if visit.request.method == "HEAD":
        await chunks.aclose()
        return Response(status_code=206 if asked else 200, headers=headers, media_type="video/mp4")
    content = (chunk.data async for chunk in chunks)
    return StreamingResponse(content, 206 if asked else 200, headers, "video/mp4")


async def watched(visit: Visit) -> Response:
    """A player reports what it has shown of a clip. The answer is 204, or why to stop."""
    incident_id = ident("incident_id", visit.request.path_params["incident"])
    answer = counted(visit, incident_id)
    if visit.spent:
        with contextlib.suppress(CallRefused):  # it was another's, or a viewer watched
            release = operator_pb2.ClaimIncidentRequest(incident_id=incident_id, release=True)
            await visit.call(visit.operator.ClaimIncident, release)
    return answer


def counted(visit: Visit, what: str) -> Response:
    """Counts what a player has shown of a clip or a stream. The answer is 204, or why to stop."""
    given = visit.form.get("ms", "")
    if not given.isascii() or not given.isdigit() or len(given) > 6:
        raise InvalidInput("ms", "must be a number of milliseconds")
    due = visit.exposure.watched(visit.person.name, what, int(given), visit.gate.clock.wall_ms())
    if visit.spent:
        return PlainTextResponse(visit.words("exposure.spent"), headers={SPENT: "1"})
    return PlainTextResponse(visit.words("exposure.break")) if due else Response(status_code=204)


async def poster(visit: Visit) -> Response:
    """The most telling poster of the clip."""
    content = b""
    files = 0
    async for chunk in _read(visit, operator_pb2.EVIDENCE_PART_POSTERS):
        files += chunk.HasField("file")
        if files > 1:
            break
        content += chunk.data
    if not content:
        raise NotFound("poster of incident", visit.request.path_params["incident"][:64])
    return Response(content, headers=EVIDENCE_HEADERS, media_type="image/jpeg")


async def account(visit: Visit, incident: operator_pb2.Incident) -> operator_pb2.EvidenceAccount:
    """What the machine has to say of the incident. People decide also while the store of evidence is away:
    then it is what the ledger has."""
    try:
        return (await anext(_read(visit, operator_pb2.EVIDENCE_PART_ACCOUNT))).account
    except CallRefused as error:
        if error.status != 503:
            raise
        signals = incident.verdict.signals
        witnesses = [operator_pb2.EvidenceWitness(signal=signal) for signal in signals]
        return operator_pb2.EvidenceAccount(witnesses=witnesses)


def _read(
    visit: Visit, part: operator_pb2.EvidencePart.ValueType, begin: int = 0, length: int = 0
) -> AsyncGenerator[operator_pb2.EvidenceChunk]:
    request = operator_pb2.GetEvidenceRequest(
        incident_id=ident("incident_id", visit.request.path_params["incident"]),
        part=part,
        begin_bytes=begin,
        length_bytes=length,
    )
    context = cast(Context, CallInProcess(visit.session.token))
    return cast(
        AsyncGenerator[operator_pb2.EvidenceChunk, None], visit.operator.GetEvidence(request, context)
    )
