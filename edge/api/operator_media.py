"""Operator call that shows a live stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edge.api import bounds
from edge.api.auth import Role
from edge.api.operator_calls import OperatorCalls, ident
from edge.api.status import Context, streams_errors
from edge.contract.gen import operator_pb2
from edge.supervise.evidence_parts import CHUNK_BYTES
from edge.supervise.live_media import MOST_BACK_MS


class MediaCalls(OperatorCalls):
    @streams_errors
    async def WatchMedia(
        self, request: operator_pb2.WatchMediaRequest, context: Context
    ) -> AsyncIterator[operator_pb2.MediaChunk]:
        person = await self.person(context, Role.REVIEWER)
        stream_id = ident("stream_id", request.stream_id)
        back_ms = bounds.number("back_ms", request.back_ms, 0, MOST_BACK_MS)
        async for piece in self._gate.live_media.watch(stream_id, person.name, back_ms):
            yield operator_pb2.MediaChunk(
                data=piece.data[:CHUNK_BYTES],
                media_type=piece.media_type,
                end_ms=piece.end_ms,
                behind_ms=piece.behind_ms,
                gap=piece.gap,
            )
            for at in range(CHUNK_BYTES, len(piece.data), CHUNK_BYTES):
                yield operator_pb2.MediaChunk(data=piece.data[at : at + CHUNK_BYTES])
