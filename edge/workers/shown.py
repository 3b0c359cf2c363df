"""Media that the supervisor shows a worker to make evidence of."""

from __future__ import annotations

from dataclasses import dataclass

from edge.api import convert
from edge.api.gen import worker_pb2
from edge.domain import AccessUnit, Codec

_MAX_STREAMS = 16
"""Streams whose evidence is on its way at once; the oldest gives way."""


@dataclass(frozen=True, slots=True)
class Media:
    """A stretch of a stream, in decoding order, and how it is encoded."""

    codec: Codec
    extradata: bytes
    units: tuple[AccessUnit, ...]


class ShownMedia:
    """By stream, until it is asked for."""

    def __init__(self) -> None:
        self._media: dict[str, tuple[Codec, bytes, list[AccessUnit]]] = {}

    def add(self, message: worker_pb2.EvidenceMedia) -> None:
        if message.first:
            self._media.pop(message.stream_id, None)
            self._media[message.stream_id] = (Codec(message.codec), message.extradata, [])
            while len(self._media) > _MAX_STREAMS:
                del self._media[next(iter(self._media))]
        if message.stream_id in self._media:
            units = self._media[message.stream_id][2]
            units.extend(convert.access_unit_from_proto(unit, 0.0) for unit in message.units)

    def take(self, stream_id: str) -> Media | None:
        """What was shown of a stream, once; None when nothing was."""
        codec, extradata, units = self._media.pop(stream_id, (None, b"", []))
        return Media(codec, extradata, tuple(units)) if codec is not None and units else None
