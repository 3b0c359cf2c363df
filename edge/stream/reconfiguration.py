"""Puts a new configuration record of a running stream in band.

A record changes mid-stream when a publisher rotates the picture or restarts its encoder. Decoder, ring and
evidence know a stream by its first record. They find the parameter sets of a later record in band. So the
stream goes on, and nothing seen so far is lost.
"""

from __future__ import annotations

from typing import Any, Final

import av

from edge.domain import Codec
from edge.errors import BrokenSource, LimitExceeded
from edge.stream.annexb import framing_of
from edge.stream.decode import MAX_EXTRADATA_BYTES

_AV1_RECORD_BYTES: Final = 4
"""Bytes before the OBUs of an av1C: AV1 Codec ISO Media File Format Binding, §2.3.3."""


class Reconfiguration:
    """Tracks the configuration records of one demuxed stream."""

    def __init__(self, codec: Codec, record: bytes) -> None:
        """``record`` is the extradata with which the stream was opened."""
        self._codec = codec
        self._first = self._record = record
        self._in_band = b""

    def apply(self, data: bytes, record: bytes, *, keyframe: bool) -> bytes:
        """Returns an access unit ready to decode. ``record`` came with it, and is empty where none did.

        A unit with a new record begins with its parameter sets, and so does each keyframe after it. Raises
        InvalidInput for a damaged record and LimitExceeded for one over 64 KiB. Raises BrokenSource when
        the framing differs from the first record's: the stream must then be opened anew.
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
                return b""  # the frames hold all that the record says
            case Codec.AV1:
                return record[_AV1_RECORD_BYTES:]
        framing = framing_of(self._codec, record)
        if framing.prefix_bytes != framing_of(self._codec, self._first).prefix_bytes:
            raise BrokenSource("the framing of the access units has changed in mid-stream")
        return framing.in_band()


def announced(packet: av.Packet[Any]) -> bytes:
    """Returns the configuration record that came with a demuxed packet. Empty where none did.

    FLV brings a record with the first packet, after the stream was opened, and whenever the publisher
    resends it.
    """
    if not packet.has_sidedata("new_extradata"):
        return b""
    return bytes(packet.get_sidedata("new_extradata"))
