"""Batches the audio packets of a pull to about half a second."""

from __future__ import annotations

from typing import Any, Final

import av
from av.audio.stream import AudioStream

from edge.domain import AUDIO_CODECS, MAX_AUDIO_BYTES, Audio

_SOME_UNITS: Final = 24
_SOME_MS: Final = 500


class PulledAudio:
    """Takes packets of all audio streams and uses the first stream."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._extradata = self._announced = b""
        self._units: list[tuple[int, bytes]] = []

    def add_packet(self, packet: av.Packet[AudioStream]) -> Audio | None:
        """Adds a packet. Returns a batch when it is complete. Packets too large or of unknown codecs are
        left out."""
        stream = packet.stream
        if self._index is None:
            self._index = stream.index
        codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
        base = stream.time_base
        if stream.index != self._index or codec not in AUDIO_CODECS or packet.pts is None or not base:
            return None
        if packet.size > MAX_AUDIO_BYTES:
            return None
        self._announced = announced(packet) or self._announced
        extradata = self._announced or stream.codec_context.extradata or b""
        ready = None
        if extradata != self._extradata:
            ready = self._take(codec)
            self._extradata = extradata if len(extradata) <= MAX_AUDIO_BYTES else b""
        self._units.append((round(packet.pts * base * 1000), bytes(packet)))
        enough = len(self._units) >= _SOME_UNITS or self._units[-1][0] - self._units[0][0] >= _SOME_MS
        return self._take(codec) if enough else ready

    def _take(self, codec: str) -> Audio | None:
        units, self._units = tuple(self._units), []
        return Audio(codec, self._extradata, units) if units else None


def announced(packet: av.Packet[Any]) -> bytes:
    """Returns the configuration record that came with a demuxed packet. Empty where none did.

    FLV brings a record with the first packet, after the stream was opened, and whenever the publisher
    resends it.
    """
    if not packet.has_sidedata("new_extradata"):
        return b""
    return bytes(packet.get_sidedata("new_extradata"))
