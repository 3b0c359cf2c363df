"""What a new decoder configuration changes: nothing, what is in band, or the call. Pure."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from edge.domain import AccessUnit, Codec
from edge.errors import LimitExceeded
from edge.reconfiguration import Reconfiguration, equivalent, same_framing
from edge.reopenings import Reopenings


class Change(Enum):
    NONE = "none"
    """It sets a decoder up like the one before."""
    IN_BAND = "in_band"
    """The next access unit brings its parameter sets. The call and the running GOP go on."""
    REOPEN = "reopen"
    """No decoder can go on: another codec, or another framing. The next keyframe begins a new call."""


class DecoderConfiguration:
    """The configurations of one stream. ``codec`` and ``record`` are those of the call to open."""

    def __init__(self, most_per_minute: int) -> None:
        self.codec = Codec.H264
        self.record = b""
        self._most_per_minute = most_per_minute
        self._changes = Reopenings(most_per_minute)
        self._in_band: Reconfiguration | None = None
        self._newest = self._pending = b""

    def set(self, codec: Codec, record: bytes, now_ms: float) -> Change:
        """Takes a configuration of the publisher.

        Raises LimitExceeded if there were too many in the last minute, and InvalidInput for a damaged record
        in mid-stream.
        """
        if self._in_band is not None:
            if codec is self.codec and equivalent(codec, self._newest, record):
                return Change.NONE
            if not self._changes.take(now_ms):
                limit = self._most_per_minute
                raise LimitExceeded("flv.video.config", limit, limit + 1, "new configurations in a minute")
            if codec is self.codec and same_framing(codec, self.record, record):
                self._newest = self._pending = record
                return Change.IN_BAND
        self.codec, self.record, self._newest, self._pending = codec, record, record, b""
        self._in_band = Reconfiguration(codec, record)
        return Change.REOPEN

    def apply(self, unit: AccessUnit) -> AccessUnit:
        """The unit as the gate's decoder needs it. Raises LimitExceeded for a record over 64 KiB."""
        assert self._in_band is not None, "set first"
        record, self._pending = self._pending, b""
        data = self._in_band.apply(unit.data, record, keyframe=unit.keyframe)
        return unit if data is unit.data else replace(unit, data=data)
