"""One live stream: its last seconds and then what comes, with the switch beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, cast

from starlette.responses import Response, StreamingResponse

from edge.api.operator_calls import ident
from edge.api.status import Context
from edge.console.calls import CallInProcess
from edge.console.evidence import EVIDENCE_HEADERS, counted
from edge.console.live_page import live_stream, pictures, waiting
from edge.console.queue_page import SEEN
from edge.console.sparkline import sparklines
from edge.console.visit import Visit
from edge.contract.gen import operator_pb2
from edge.errors import CallRefused, NotFound, PermissionRefused

BACK_MS: Final = 10_000
_ASKED_AGAIN_MS: Final = 1_000.0
"""How often an answer that goes on looks whether the person is still signed in."""


async def watch(visit: Visit) -> Response:
    try:
        stream = await live_stream(visit)
    except NotFound:
        if visit.part:  # the open page says that it is over
            return visit.show("watch_facts.html", stream=None)
        raise
    case = await _incident(visit, stream)
    response = visit.show(
        "watch_facts.html" if visit.part else "watch.html",
        stream=stream,
        incident=case,
        pictures=pictures(visit, [stream.stream_id]),
        sparklines=sparklines(stream),
        blind_limit_ms=visit.gate.policy.tiers.blind_limit_ms,
        spent=visit.spent,
    )
    response.headers[SEEN] = ""
    return response


async def media(visit: Visit) -> Response:
    """The fragmented MP4 of ``Operator.WatchMedia``. Ends where another file would begin. 204: the stream is
    over, or has nothing to show yet."""
    if visit.spent:
        raise PermissionRefused("you have watched as much evidence as anybody may in a day")
    stream_id = ident("stream_id", visit.request.path_params["stream"])
    request = operator_pb2.WatchMediaRequest(stream_id=stream_id, back_ms=BACK_MS)
    context = cast(Context, CallInProcess(visit.session.token))
    chunks = visit.operator.WatchMedia(request, context)
    try:
        first = await anext(chunks, None)
    except CallRefused as error:
        if error.status != 404:
            raise
        first = None
    if first is None or not first.media_type:
        return Response(status_code=204)
    return StreamingResponse(
        _content(visit, first.data, chunks), headers=EVIDENCE_HEADERS, media_type=first.media_type
    )


async def watched(visit: Visit) -> Response:
    """The player reports what it has shown."""
    return counted(visit, ident("stream_id", visit.request.path_params["stream"]))


async def _content(
    visit: Visit, first: bytes, chunks: AsyncIterator[operator_pb2.MediaChunk]
) -> AsyncIterator[bytes]:
    yield first
    clock = visit.gate.clock
    asked_ms = clock.monotonic_ms()
    async for chunk in chunks:
        if chunk.media_type:
            return
        now = clock.monotonic_ms()
        if now - asked_ms >= _ASKED_AGAIN_MS:
            asked_ms = now
            if visit.spent or not visit.still_signed_in():
                return
        if chunk.data:
            yield chunk.data


async def _incident(visit: Visit, stream: operator_pb2.Stream) -> operator_pb2.Incident | None:
    """The most urgent incident of the stream that waits for people."""
    incident_id = (await waiting(visit)).get(stream.stream_id)
    if incident_id is None:
        return None
    asked = operator_pb2.GetIncidentRequest(incident_id=incident_id)
    return (await visit.call(visit.operator.GetIncident, asked)).incident
