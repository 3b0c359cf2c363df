"""Puts the audio of a stream beside the video in a clip, as it came, so that a person can hear it.

Nothing is decoded. AAC gets ADTS headers, from which the MP4 muxer takes the configuration; Opus brings its
own in the first pages of an Ogg stream, from which the muxer's track is made.
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Final

import av
from av.container import OutputContainer
from av.stream import Stream

from edge.domain import Audio
from edge.errors import BrokenMedia
from edge.stream import AudioClock

_MILLISECONDS: Final = Fraction(1, 1000)
_AAC_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""By the index in the configuration (ISO/IEC 14496-3, table 1.18)."""
_MP3_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""By the bits of the version, then those of the rate."""
_ADTS_BYTES: Final = 7
_MOST_ADTS: Final = 8191
_NOMINAL_MS: Final = 20.0
_OPUS_RATE: Final = 48000


class AudioTrack:
    """The audio that belongs to a clip: of one codec and configuration, those that most of it has."""

    def __init__(self, audio: Sequence[Audio]) -> None:
        """``audio`` is in media time. Raises BrokenMedia where it holds nothing that an MP4 can."""
        held = Counter[tuple[str, bytes]]()
        for each in audio:
            held[each.codec, each.extradata] += len(each.units)
        if not held.total():
            raise BrokenMedia("no audio")
        self._codec, self._extradata = max(held, key=held.__getitem__)
        self._units = [
            unit
            for each in audio
            if (each.codec, each.extradata) == (self._codec, self._extradata)
            for unit in each.units
            if unit[1]
        ]
        if self._codec not in _TRACKS or not self._units:
            raise BrokenMedia(f"no track for audio of the codec {self._codec[:16]!r}")
        self._rate = _TRACKS[self._codec][0](self._extradata, self._units[0][1])

    @property
    def span_ms(self) -> tuple[int, int]:
        """Media time of its first and last frame."""
        return self._units[0][0], max(pts_ms for pts_ms, _ in self._units)

    def add_to(self, container: OutputContainer) -> Stream:
        """Adds its stream to a container that is not begun."""
        if self._codec != "opus":
            return container.add_mux_stream(self._codec, rate=self._rate, time_base=_MILLISECONDS)
        # The header needs the configuration, which only a demuxer can set.
        opening = _ogg(self._extradata, self._units[0][1])
        with av.open(io.BytesIO(opening), format="ogg", options={"codec_whitelist": "none"}) as source:
            stream = container.add_stream_from_template(source.streams.audio[0])
            stream.time_base = _MILLISECONDS
            return stream

    def packets(self, stream: Stream, from_ms: int, until_ms: int) -> Iterator[av.Packet[Stream]]:
        """Yields the audio from ``from_ms``, the media time at which the clip begins, to ``until_ms``.

        Frames follow one another as long as they are, whatever their stamps say, and real gaps stay.
        """
        clock = AudioClock()
        last = -1
        for pts_ms, data in self._units:
            length_ms = _TRACKS[self._codec][1](self._extradata, data)
            start_ms, _ = clock.frame_time(clock.unit_time(pts_ms), length_ms)
            framed = self._framed(data)
            if framed is None or not from_ms <= start_ms <= until_ms:
                continue
            packet: av.Packet[Stream] = av.Packet(framed)
            packet.pts = packet.dts = last = max(round(start_ms) - from_ms, last + 1)
            packet.duration = max(1, round(length_ms))
            packet.time_base = _MILLISECONDS
            packet.stream = stream
            yield packet

    def _framed(self, data: bytes) -> bytes | None:
        """Returns a frame as the muxer wants it. None: it cannot be had, and is left out."""
        if self._codec == "aac":
            return _adts(self._extradata, data) if len(data) + _ADTS_BYTES <= _MOST_ADTS else None
        return data


def _aac_config(extradata: bytes) -> tuple[int, int, int]:
    """Returns object type, index of the rate, and channel configuration. Raises BrokenMedia for what ADTS
    cannot say."""
    if len(extradata) < 2:
        raise BrokenMedia("AAC without a configuration")
    bits = int.from_bytes(extradata[:2], "big")
    kind, rate, channels = bits >> 11, bits >> 7 & 15, bits >> 3 & 15
    if rate >= len(_AAC_RATES) or not 1 <= channels <= 7:
        raise BrokenMedia("AAC of a configuration that a clip cannot hold")
    return kind, rate, channels


def _adts(extradata: bytes, data: bytes) -> bytes:
    """Puts an ADTS header (ISO/IEC 14496-3, 1.A.2.2) before a frame. SBR is found by the player itself."""
    kind, rate, channels = _aac_config(extradata)
    size = len(data) + _ADTS_BYTES
    profile = kind - 1 if 1 <= kind <= 4 else 1
    header = 0xFFF1 << 40 | profile << 38 | rate << 34 | channels << 30 | size << 13 | 0x7FF << 2
    return header.to_bytes(_ADTS_BYTES, "big") + data


def _aac_rate(extradata: bytes, _: bytes) -> int:
    return _AAC_RATES[_aac_config(extradata)[1]]


def _aac_ms(extradata: bytes, _: bytes) -> float:
    return 1000 * 1024 / _aac_rate(extradata, b"")


def _mp3_rate(_: bytes, data: bytes) -> int:
    """Reads the rate of a frame's header (ISO/IEC 11172-3, 2.4.1.3). Raises BrokenMedia for none."""
    rates = _MP3_RATES.get(data[1] >> 3 & 3) if len(data) >= 4 and data[0] == 0xFF else None
    if rates is None or data[2] >> 2 & 3 == 3:
        raise BrokenMedia("a frame of MP3 has no header")
    return rates[data[2] >> 2 & 3]


def _mp3_ms(_: bytes, data: bytes) -> float:
    try:
        rate = _mp3_rate(_, data)
    except BrokenMedia:
        return _NOMINAL_MS
    return 1000 * (1152 if data[1] >> 3 & 3 == 3 else 576) / rate


def _opus_rate(extradata: bytes, _: bytes) -> int:
    if not extradata.startswith(b"OpusHead"):
        raise BrokenMedia("Opus without a configuration")
    return _OPUS_RATE


def _opus_ms(_: bytes, data: bytes) -> float:
    """Returns a packet's length by its first bytes (RFC 6716, 3.1)."""
    kind, frames = data[0] >> 3, data[0] & 3
    if kind < 12:
        each_ms = (10.0, 20.0, 40.0, 60.0)[kind & 3]
    else:
        each_ms = (10.0, 20.0)[kind & 1] if kind < 16 else (2.5, 5.0, 10.0, 20.0)[kind & 3]
    count = 1 if frames == 0 else 2
    if frames == 3:
        count = data[1] & 63 if len(data) > 1 else 1
    return min(max(each_ms * count, 2.5), 120.0)


_TRACKS: Final[dict[str, tuple[Callable[[bytes, bytes], int], Callable[[bytes, bytes], float]]]] = {
    "aac": (_aac_rate, _aac_ms),
    "mp3": (_mp3_rate, _mp3_ms),
    "opus": (_opus_rate, _opus_ms),
}
"""By codec: its rate and the length of a frame in milliseconds, from configuration and frame."""


def _ogg(head: bytes, packet: bytes) -> bytes:
    """Returns the shortest Ogg stream of Opus (RFC 7845): head, tags and one packet."""
    tags = b"OpusTags" + bytes(8)
    return _page(0, 2, 0, head) + _page(1, 0, 0, tags) + _page(2, 4, 960, packet)


def _page(sequence: int, flags: int, position: int, packet: bytes) -> bytes:
    """Returns a page of Ogg (RFC 3533, 6) with one packet."""
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    if len(lacing) > 255:
        raise BrokenMedia(f"a packet of Opus has {len(packet)} bytes")
    header = b"OggS" + struct.pack("<BBqIII", 0, flags, position, 1, sequence, 0)
    page = header + bytes([len(lacing)]) + lacing + packet
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(page: bytes) -> int:
    checksum = 0
    for value in page:
        checksum ^= value << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    return checksum
