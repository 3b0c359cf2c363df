"""Puts a new configuration record of a running stream in band.

A record changes mid-stream when a publisher rotates the frame or restarts its encoder. Decoder, ring and
evidence know a stream by its first record. They find the parameter sets of a later record in band. So the
stream goes on, and nothing seen so far is lost.
"""

from __future__ import annotations

from typing import Final

from edge.annexb import MAX_EXTRADATA_BYTES, framing_of
from edge.domain import Codec
from edge.errors import BrokenSource, InvalidInput, LimitExceeded

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


def equivalent(codec: Codec, record: bytes, other: bytes) -> bool:
    """Whether two configuration records set a decoder up alike: what follows a record, and what no decoder
    reads, may differ. Records that cannot be read are alike only if they are equal."""
    if record == other or codec is Codec.VP9:
        return True
    if codec is Codec.AV1:
        return False
    try:
        return framing_of(codec, record) == framing_of(codec, other)
    except InvalidInput:
        return False


def same_framing(codec: Codec, record: bytes, other: bytes) -> bool:
    """Whether access units under both records are framed alike: ``Reconfiguration`` can then put one in band.
    Raises InvalidInput for a damaged record."""
    if codec in (Codec.VP9, Codec.AV1):
        return True
    return framing_of(codec, record).prefix_bytes == framing_of(codec, other).prefix_bytes
