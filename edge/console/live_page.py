"""The live streams by risk with their thumbnails, and the switch: cut one, or block its broadcaster."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from edge.api import bounds
from edge.api.auth import Role
from edge.console.evidence import EVIDENCE_HEADERS
from edge.console.queue_page import SEEN
from edge.console.sparkline import sparklines
from edge.console.visit import Visit
from edge.contract.gen import gate_pb2, operator_pb2
from edge.errors import InvalidInput, LedgerUnavailable, NotFound

CUT_MS: Final = 15 * 60_000
"""Whoever is cut may not be back at once: this short block is made first."""
LENGTHS_MS: Final = (3_600_000, 86_400_000, 7 * 86_400_000, 30 * 86_400_000, 0)
"""Lengths of a block to choose from; 0 is permanent."""
_SHOWN: Final = 200


def risk(stream: operator_pb2.Stream) -> tuple[bool, int, bool, float]:
    """The key by which streams are ordered: what is decided, the tier, the newest score. Pure."""
    return (stream.cutting, int(stream.action), stream.tier == gate_pb2.TIER_KIND_ALERT, stream.score)


async def live(visit: Visit) -> Response:
    streams = await visit.live_streams(with_scores=True)
    streams.sort(key=risk, reverse=True)
    shown = streams[:_SHOWN]
    response = visit.show(
        "live_rows.html" if visit.part else "live.html",
        streams=shown,
        more=len(streams) - len(shown),
        incidents=await waiting(visit),
        pictures=pictures(visit, [stream.stream_id for stream in shown]),
        sparklines=sparklines,
        mode=visit.gate.policy.mode.value,
        blind_limit_ms=visit.gate.policy.tiers.blind_limit_ms,
    )
    response.headers[SEEN] = ""
    return response


async def waiting(visit: Visit) -> dict[str, str]:
    """The most urgent waiting incident of each stream that has one."""
    found: dict[str, str] = {}
    try:
        queue = (await visit.gate.queue.view()).queued
    except LedgerUnavailable:  # a person can cut all the same
        return found
    for queued in reversed(queue):
        stream_id = visit.operator.shown_stream_id(visit.person, queued.waiting.stream_id)
        found[stream_id] = queued.waiting.id
    return found


def pictures(visit: Visit, stream_ids: list[str]) -> dict[str, int]:
    """Numbers of the newest thumbnails of streams that this page shows. From now on they are made."""
    if not visit.may(Role.REVIEWER) or visit.spent:
        return {}
    thumbnails = visit.gate.thumbnails
    thumbnails.look(stream_ids)
    return {stream_id: thumbnails.number(stream_id) for stream_id in stream_ids}


async def picture(visit: Visit) -> Response:
    """The newest thumbnail of a stream, while its page is open."""
    stream_id = bounds.text("stream_id", visit.request.path_params["stream"], 64, required=True)
    jpeg = visit.gate.thumbnails.jpeg(stream_id)
    if not jpeg or visit.spent:
        return Response(status_code=204)
    return Response(jpeg, headers=EVIDENCE_HEADERS, media_type="image/jpeg")


async def ask(visit: Visit) -> Response:
    stream, done = await _asked(visit)
    return visit.show("stream_decision.html", stream=stream, done=done, lengths=LENGTHS_MS, cut_ms=CUT_MS)


async def act(visit: Visit) -> Response:
    """Cuts a stream and blocks its broadcaster, for a short time or for the chosen one."""
    stream, done = await _asked(visit)
    duration_ms = CUT_MS
    if done == "block":
        given = visit.form.get("length", "")
        if given not in {str(length) for length in LENGTHS_MS}:
            raise InvalidInput("length", "is none of those that can be chosen")
        duration_ms = int(given)
    request = operator_pb2.CutStreamRequest(
        stream_id=stream.stream_id, reason=visit.reason(done), block_ms=duration_ms
    )
    await visit.call(visit.operator.CutStream, request)
    return visit.done(f"done.{done}", "/live")


async def _asked(visit: Visit) -> tuple[operator_pb2.Stream, str]:
    visit.need(Role.REVIEWER)
    done = visit.request.path_params["done"]
    if done not in ("cut", "block"):
        raise NotFound("action", done[:64])
    return await live_stream(visit), done


async def live_stream(visit: Visit) -> operator_pb2.Stream:
    """The stream that the address names. Raises NotFound."""
    stream_id = bounds.text("stream_id", visit.request.path_params["stream"], 64, required=True)
    for stream in await visit.live_streams(with_scores=True):
        if stream.stream_id == stream_id:
            return stream
    raise NotFound("stream", stream_id)
