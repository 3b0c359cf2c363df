"""Media that the supervisor shows a worker to make evidence of."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from edge.contract import convert
from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit, Codec

_MAX_BYTES = 256 * 2**20
"""Of all streams whose evidence is on its way at once; the oldest give way, but never the only one.
By hand: a value grows while it is in the map, and cachetools sizes a value once."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Media:
    """A stretch of a stream, in decoding order, and how it is encoded."""

    codec: Codec
    extradata: bytes
    units: tuple[AccessUnit, ...]


@dataclass(slots=True)
class _Shown:
    codec: Codec
    extradata: bytes
    units: list[AccessUnit] = field(default_factory=list)
    bytes: int = 0


class EvidenceMedia:
    """By stream, until it is asked for."""

    def __init__(self) -> None:
        self._media: dict[str, _Shown] = {}
        self._bytes = 0

    def add_media(self, message: worker_pb2.EvidenceMedia) -> None:
        """The first or the next part of what is shown of a stream. Of an unknown codec, whose name is as the
        caller of the gate gave it, nothing is kept."""
        ident = message.stream_id
        if message.first:
            self._drop(ident)
            try:
                self._media[ident] = _Shown(Codec(message.codec), message.extradata)
            except ValueError:
                log.warning("no evidence of an unknown codec", stream_id=ident, codec=message.codec)
        shown = self._media.get(ident)
        if shown is None:
            return
        for unit in message.units:
            shown.units.append(convert.access_unit_from_proto(unit, 0.0))
            shown.bytes += len(unit.data)
            self._bytes += len(unit.data)
        while self._bytes > _MAX_BYTES and len(self._media) > 1:
            self._drop(next(iter(self._media)))

    def take(self, stream_id: str) -> Media | None:
        """What was shown of a stream, once; None when nothing was."""
        shown = self._drop(stream_id)
        return Media(shown.codec, shown.extradata, tuple(shown.units)) if shown and shown.units else None

    def _drop(self, stream_id: str) -> _Shown | None:
        shown = self._media.pop(stream_id, None)
        if shown is not None:
            self._bytes -= shown.bytes
        return shown
