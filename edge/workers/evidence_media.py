"""Media that the supervisor sends to a worker to make evidence from."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from edge.contract.gate import access_unit_from_proto, audio_from_proto
from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit, Audio, Codec

_MAX_BYTES = 256 * 2**20
"""Bound on the media of all streams whose evidence is in transit. The oldest is dropped, but never the only
one. Not a cachetools cache: a value grows while it is in the map, and cachetools sizes a value once."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Media:
    """A stretch of a stream in decoding order, and how it is encoded."""

    codec: Codec
    extradata: bytes
    units: tuple[AccessUnit, ...]
    audio: tuple[Audio, ...] = ()


@dataclass(slots=True)
class _StreamMedia:
    codec: Codec
    extradata: bytes
    units: list[AccessUnit] = field(default_factory=list)
    audio: list[Audio] = field(default_factory=list)
    bytes: int = 0


class EvidenceMedia:
    """Media by stream, kept until it is taken."""

    def __init__(self) -> None:
        self._media: dict[str, _StreamMedia] = {}
        self._bytes = 0

    def add_media(self, message: worker_pb2.EvidenceMedia) -> None:
        """Adds the first or the next part of a stream's media.

        Drops media of an unknown codec. Its name comes unchecked from the caller of the gate.
        """
        ident = message.stream_id
        if message.first:
            self._drop(ident)
            try:
                self._media[ident] = _StreamMedia(Codec(message.codec), message.extradata)
            except ValueError:
                log.warning("no evidence: unknown codec", stream_id=ident, codec=message.codec)
        shown = self._media.get(ident)
        if shown is None:
            return
        for unit in message.units:
            shown.units.append(access_unit_from_proto(unit, 0.0))
            shown.bytes += len(unit.data)
            self._bytes += len(unit.data)
        for sound in message.audio:
            shown.audio.append(audio_from_proto(sound))
            shown.bytes += sound.ByteSize()
            self._bytes += sound.ByteSize()
        while self._bytes > _MAX_BYTES and len(self._media) > 1:
            self._drop(next(iter(self._media)))

    def take(self, stream_id: str) -> Media | None:
        """Removes and returns a stream's media, or None when there is none."""
        shown = self._drop(stream_id)
        if shown is None or not (shown.units or shown.audio):
            return None
        return Media(shown.codec, shown.extradata, tuple(shown.units), tuple(shown.audio))

    def _drop(self, stream_id: str) -> _StreamMedia | None:
        shown = self._media.pop(stream_id, None)
        if shown is not None:
            self._bytes -= shown.bytes
        return shown
