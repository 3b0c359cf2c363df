"""Bundles FLV audio messages for the gate, about half a second at a time.

Sources: Adobe, "Video File Format Specification" 10.1, annex E; Veovera, "Enhanced RTMP" v2. Drops audio
codecs that the gate cannot analyse: the gate still watches the video.
"""

from __future__ import annotations

from typing import Final

from edge.domain import Audio

_AAC, _ENHANCED = 10, 9
_PLAIN: Final = {2: "mp3", 14: "mp3"}
_FOURCC: Final = {b"mp4a": "aac", b"Opus": "opus", b".mp3": "mp3"}
_CONFIG, _FRAME = 0, 1
_SOME_UNITS: Final = 24
_MAX_BYTES: Final = 64 * 1024


class AudioBundle:
    """Bundles the audio messages of one publisher."""

    def __init__(self) -> None:
        self._codec = ""
        self._extradata = b""
        self._units: list[tuple[int, bytes]] = []

    def add_payload(self, payload: bytes, time_ms: int) -> Audio | None:
        """Adds one message. Returns a bundle when it is large enough, else None. Drops invalid messages."""
        codec, kind, data = _parsed(payload)
        if not codec or not data or len(data) > _MAX_BYTES:
            return None
        ready = None
        if kind == _CONFIG or codec != self._codec:
            ready = self._take()
            self._codec, self._extradata = codec, data if kind == _CONFIG else b""
        if kind == _FRAME:
            self._units.append((time_ms, data))
        return self._take() if len(self._units) >= _SOME_UNITS else ready

    def _take(self) -> Audio | None:
        units, self._units = tuple(self._units), []
        return Audio(self._codec, self._extradata, units) if units else None


def _parsed(payload: bytes) -> tuple[str, int, bytes]:
    """Splits a message into codec, packet type and data. The codec is empty if the gate does not
    analyse it."""
    if len(payload) < 2:
        return "", 0, b""
    audio_format = payload[0] >> 4
    if audio_format == _AAC:
        return "aac", payload[1], payload[2:]
    if audio_format == _ENHANCED:
        return _FOURCC.get(payload[1:5], ""), payload[0] & 0x0F, payload[5:]
    return _PLAIN.get(audio_format, ""), _FRAME, payload[1:]
