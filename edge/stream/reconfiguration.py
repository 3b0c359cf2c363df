"""A configuration record that takes the place of the first in mid-stream: a publisher was turned round, or
its encoder set up anew.

Decoder, ring and evidence know a stream by the record that it was opened with. What a later one says is put
in band, where they find it: the stream goes on, and nothing that was seen of it is forgotten.
"""

from __future__ import annotations

from typing import Any, Final

import av

from edge.domain import Codec
from edge.errors import LimitExceeded, SourceStalled
from edge.stream.annexb import framing_of
from edge.stream.decode import MAX_EXTRADATA_BYTES

_AV1_RECORD_BYTES: Final = 4
"""Before the OBUs of an av1C: AV1 Codec ISO Media File Format Binding, §2.3.3."""


class Reconfiguration:
    """Of one stream that a demuxer reads."""

    def __init__(self, codec: Codec, record: bytes) -> None:
        """``record``: the extradata that the stream is opened with."""
        self._codec = codec
        self._first = self._record = record
        self._in_band = b""

    def apply(self, data: bytes, record: bytes, *, keyframe: bool) -> bytes:
        """One access unit as it is to be decoded. ``record`` came with it; empty where none did.

        The unit that brings another record has its parameter sets in front, and so has each keyframe after
        it. Raises InvalidInput for a record that is damaged, LimitExceeded for one over 64 KiB, and
        SourceStalled for one of other framing than the first, for which the stream has to be opened anew.
        """
        changed = bool(record) and record != self._record
        if changed:
            self._in_band, self._record = self._parameter_sets(record), record
        return self._in_band + data if changed or keyframe else data

    def _parameter_sets(self, record: bytes) -> bytes:
        if len(record) > MAX_EXTRADATA_BYTES:
            raise LimitExceeded("extradata", MAX_EXTRADATA_BYTES, len(record), "bytes")
        match self._codec:
            case Codec.VP9:
                return b""  # its frames say all that its record does
            case Codec.AV1:
                return record[_AV1_RECORD_BYTES:]
        framing = framing_of(self._codec, record)
        if framing.prefix_bytes != framing_of(self._codec, self._first).prefix_bytes:
            raise SourceStalled("the framing of the access units has changed in mid-stream")
        return framing.in_band()


def announced(packet: av.Packet[Any]) -> bytes:
    """The configuration record that comes with a packet of a demuxer; empty where none does. FLV brings
    one with the first packet, after the stream was opened, and whenever the publisher sends it again."""
    if not packet.has_sidedata("new_extradata"):
        return b""
    return bytes(packet.get_sidedata("new_extradata"))
