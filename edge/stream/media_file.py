"""Reads recorded files like live streams: codec, extradata and access units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from edge.clock import Clock, SystemClock
from edge.domain import AccessUnit
from edge.errors import BrokenMedia, NoVideo
from edge.recorded_media import open_media, picture_of
from edge.stream.codecs import AnyCodec, codec_of

MAX_DAMAGED_PACKETS = 60
"""Consecutive read errors after which the rest of a file is given up."""
_DEFAULT_STEP_MS = 40


@dataclass(frozen=True, slots=True)
class MediaFile:
    """An opened file. Use it within ``open_media_file``."""

    path: Path
    codec: AnyCodec
    extradata: bytes
    duration_s: float
    """Duration from the container. 0 where unknown."""
    _container: InputContainer
    _stream: VideoStream
    _clock: Clock

    def units(self) -> Iterator[AccessUnit]:
        """Yields access units in decoding order, the first at pts 0. Their arrival time is the time of the
        read.

        Raises BrokenMedia when there is no packet, or nothing but read errors is left.
        """
        base = self._stream.time_base
        start_ms: int | None = None
        last_dts_ms = -_DEFAULT_STEP_MS
        for packet in self._packets():
            dts, pts = packet.dts, packet.pts
            dts_ms = last_dts_ms + _DEFAULT_STEP_MS if dts is None or not base else round(dts * base * 1000)
            pts_ms = dts_ms if pts is None or not base else round(pts * base * 1000)
            if dts is None and pts is not None:
                dts_ms = pts_ms
            if start_ms is None:
                start_ms = pts_ms
            last_dts_ms = dts_ms
            yield AccessUnit(
                pts_ms - start_ms,
                dts_ms - start_ms,
                bool(packet.is_keyframe),
                bytes(packet),
                self._clock.monotonic_ms(),
            )
        if start_ms is None:
            raise BrokenMedia(f"{self.path}: no video packets")

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        damaged = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, ValueError, OSError) as error:
                damaged += 1
                if damaged >= MAX_DAMAGED_PACKETS:
                    raise BrokenMedia(f"{self.path}: {error}") from error
                packets = self._container.demux(self._stream)
                continue
            damaged = 0
            if packet.size:
                yield packet


@contextmanager
def open_media_file(path: Path, clock: Clock | None = None) -> Iterator[MediaFile]:
    """Opens a recorded file with a video stream that the gate decodes.

    Raises OSError when the file cannot be read, NotMedia or BrokenMedia when it is not media or damaged, and
    NoVideo for an audio file, for example.
    """
    container = open_media(path)
    try:
        yield _media_file(path, container, clock or SystemClock())
    finally:
        container.close()


def _media_file(path: Path, container: InputContainer, clock: Clock) -> MediaFile:
    stream = picture_of(container, path)
    if stream is None:
        raise NoVideo(f"{path}: no video stream{' (audio only)' if container.streams.audio else ''}")
    context = stream.codec_context
    if context is None:
        raise BrokenMedia(f"{path}: the video stream has no readable codec parameters")
    duration_s = 0.0
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / av.time_base
    codec = codec_of(context)
    return MediaFile(path, codec, context.extradata or b"", max(duration_s, 0.0), container, stream, clock)
