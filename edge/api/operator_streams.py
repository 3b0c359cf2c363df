"""Operator calls for live streams: list, watch, cut. Also what changes of incidents, as it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edge.api import bounds
from edge.api.auth import Person, Role
from edge.api.operator_calls import MAX_LIMIT, MAX_SUBJECT_CHARS, OperatorCalls, ident, optional
from edge.api.status import Context, answers_errors, streams_errors
from edge.contract.gate import action_to_proto, tier_to_proto
from edge.contract.gen import gate_pb2, operator_pb2
from edge.contract.operator import block_to_proto, incident_to_proto
from edge.domain import PERMANENT_MS, Incident
from edge.ledger import IncidentChange
from edge.supervise.live_stream import LiveStream

_MOST_SEQUENCE = 2**62


class StreamCalls(OperatorCalls):
    @answers_errors
    async def ListStreams(
        self, request: operator_pb2.ListStreamsRequest, context: Context
    ) -> operator_pb2.ListStreamsResponse:
        person = await self.person(context, Role.VIEWER)
        limit = bounds.number("limit", request.limit, 0, MAX_LIMIT) or MAX_LIMIT
        after_id = bounds.text("after_id", request.after_id, 64)
        page = self._gate.registry.page(limit, after_id)
        streams = [self._stream(stream, person) for stream in page]
        if request.with_scores:
            for shown, stream in zip(streams, page, strict=True):
                for category, scores in stream.scores.lately():
                    shown.scores.add(category=category, scores=scores)
        return operator_pb2.ListStreamsResponse(streams=streams)

    @streams_errors
    async def WatchStreams(
        self, request: operator_pb2.WatchStreamsRequest, context: Context
    ) -> AsyncIterator[operator_pb2.StreamChange]:
        person = await self.person(context, Role.VIEWER)
        run = bounds.text("run", request.run, 64)
        after = bounds.number("after_sequence", request.after_sequence, 0, _MOST_SEQUENCE)
        feed = self._gate.stream_feed
        async for news in feed.follow(run, after):
            change = operator_pb2.StreamChange(run=feed.run, sequence=news.number)
            if news.resync:
                change.resync = True
            elif news.stream is not None:
                change.stream.CopyFrom(self._stream(news.stream, person))
            elif news.ended:
                change.ended_stream_id = self.shown_stream_id(person, news.ended)
            yield change

    @streams_errors
    async def WatchIncidents(
        self, request: operator_pb2.WatchIncidentsRequest, context: Context
    ) -> AsyncIterator[operator_pb2.IncidentChange]:
        person = await self.person(context, Role.VIEWER)
        after = bounds.number("after_sequence", request.after_sequence, 0, _MOST_SEQUENCE)
        wanted = {
            "broadcaster": optional("broadcaster", request.broadcaster, MAX_SUBJECT_CHARS),
            "app": optional("app", request.app, self._gate.settings.limits.max_app_chars),
            "category": optional("category", request.category),
        }

        def is_wanted(changed: IncidentChange) -> bool:
            return _is_wanted(changed.incident, wanted)

        digest = bounds.text("after_digest", request.after_digest, 64)
        async for news in self._gate.incident_feed.follow(after, is_wanted, digest=digest):
            change = operator_pb2.IncidentChange(sequence=news.number, digest=news.digest)
            if news.resync:
                change.resync = True
            elif news.change is not None and news.standing is not None:
                incident = news.change.incident
                shown = incident_to_proto(
                    incident, news.standing, self.shown_stream_id(person, incident.stream_id)
                )
                change.incident.CopyFrom(shown)
                change.what = news.change.what
                change.by = news.change.by
                change.wall_ms = news.change.wall_ms
            yield change

    @answers_errors
    async def CutStream(
        self, request: operator_pb2.CutStreamRequest, context: Context
    ) -> operator_pb2.CutStreamResponse:
        person = await self.person(context, Role.REVIEWER)
        block_ms = None
        if request.HasField("block_ms"):
            block_ms = bounds.number("block_ms", request.block_ms, 0, PERMANENT_MS)
        block = await self._gate.actions.cut_stream(
            ident("stream_id", request.stream_id), self.reason(request.reason), person.name, block_ms
        )
        return operator_pb2.CutStreamResponse(block=None if block is None else block_to_proto(block))

    def _stream(self, stream: LiveStream, person: Person) -> operator_pb2.Stream:
        return operator_pb2.Stream(
            stream_id=self.shown_stream_id(person, stream.id),
            server=stream.publish.server,
            connection="" if person.role is Role.VIEWER else stream.publish.connection,
            app=stream.publish.app,
            name=stream.publish.name,
            broadcaster=stream.publish.broadcaster,
            address=stream.publish.address,
            started_wall_ms=stream.started_ms,
            watch_mode=gate_pb2.WATCH_MODE_PUSH if stream.url is None else gate_pb2.WATCH_MODE_PULL,
            watched=stream.life.in_worker,
            tier=tier_to_proto(stream.tier),
            score=stream.score,
            action=action_to_proto(stream.action),
            samples=stream.samples,
            shed=stream.shed,
            cleared_pts_ms=stream.cleared_pts_ms,
            cutting=stream.cutting,
            incident_id=stream.incident_id or "",
            blind_ms=stream.blind_ms,
        )


def _is_wanted(incident: Incident, wanted: dict[str, str | None]) -> bool:
    publish = incident.publish
    has = {"broadcaster": publish.broadcaster, "app": publish.app, "category": incident.verdict.category}
    return all(value is None or has[name] == value for name, value in wanted.items())
