"""Writes the evidence clip: the ring's content as an MP4 with its audio, without re-encoding."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.container import OutputContainer
from av.stream import Stream

from edge.domain import AccessUnit, Audio, Codec
from edge.durable_files import appearing
from edge.errors import BrokenMedia, GateError
from edge.evidence.audio_track import AudioTrack
from edge.evidence.decoder_record import vp9_profile
from edge.evidence.durable import evidence_file
from edge.stream import framing_of

_MILLISECONDS: Final = Fraction(1, 1000)
# No edit list: with stamps out of order it would make players skip frames. No faststart: it rewrites the
# whole file in one call, during which no other thread can run.
_MP4: Final = {"use_editlist": "0"}
_VP9_TAG: Final = int.from_bytes(b"VP90", "little")
_MAX_STEP_MS: Final = 60_000
_LAST_FRAME_MS: Final = 40
_MOST_AFTER_MS: Final = 500
"""Audio after the last frame's time that a clip still has."""
_NO_SIZE: Final = (2, 2)
"""Size in the header of a clip with unknown frame size. Players take the size from the media itself."""
_VP9_FORMATS: Final = ("yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le")
"""Pixel formats by VP9 profile."""


@dataclass(frozen=True, slots=True)
class EvidenceClip:
    """A clip on disk. Times are the stream's media time. The clip's own time starts at 0."""

    path: Path
    start_pts_ms: int
    end_pts_ms: int
    bytes: int


def write_clip(
    units: Sequence[AccessUnit],
    codec: Codec,
    extradata: bytes,
    directory: Path,
    incident_id: str,
    size: tuple[int, int] | None = None,
    *,
    audio: Sequence[Audio] = (),
) -> EvidenceClip:
    """Writes ``directory/INCIDENT.mp4`` from access units in decoding order.

    ``size`` is the height and width of the frames, if known. ``audio`` is the audio in the media time of the
    units. The clip has it where an MP4 can hold it, and is written without it where not. Nothing is decoded,
    because the media may be evidence of a decoder crash.

    Without any unit the clip is of the audio alone.

    The clip starts at the first keyframe. It appears under its name only when it is complete and synced to
    disk. Only the owner can read it. Other threads continue while the disk is slow. Raises BrokenMedia
    without a keyframe or when the muxer refuses the media, InvalidInput for an id that is no file name, and
    OSError.
    """
    if not units and audio:
        return _write_sound(AudioTrack(audio), directory, incident_id)
    first = next((i for i, unit in enumerate(units) if unit.keyframe and unit.data), None)
    if first is None:
        raise BrokenMedia(f"evidence of {incident_id}: no keyframe in the {len(units)} access units held")
    kept = [unit for unit in units[first:] if unit.data]
    path = evidence_file(directory, incident_id, ".mp4")
    size = size or _NO_SIZE
    with appearing(path) as file:
        try:
            _mux(file, kept, codec, extradata, size, incident_id, AudioTrack(audio))
        except GateError:  # of the audio, or of the video: then it fails again
            file.seek(0)
            file.truncate()
            _mux(file, kept, codec, extradata, size, incident_id, None)
        written = os.stat(file.name).st_size
    shown = [unit.pts_ms for unit in kept]
    return EvidenceClip(path, min(shown), max(shown), written)


def _write_sound(track: AudioTrack, directory: Path, incident_id: str) -> EvidenceClip:
    path = evidence_file(directory, incident_id, ".mp4")
    begin_ms, end_ms = track.span_ms
    with appearing(path) as file:
        try:
            with av.open(file, "w", format="mp4", options=_MP4) as container:
                sound = track.add_to(container)
                container.metadata["comment"] = f"edge-gate incident {incident_id}"
                for packet in track.packets(sound, begin_ms, end_ms + _MOST_AFTER_MS):
                    container.mux_one(packet)
            file.flush()
        except (av.FFmpegError, ValueError) as error:
            raise BrokenMedia(f"evidence of {incident_id}: {error}") from error
        written = os.stat(file.name).st_size
    return EvidenceClip(path, begin_ms, end_ms, written)


def _mux(
    file: BinaryIO,
    units: list[AccessUnit],
    codec: Codec,
    extradata: bytes,
    size: tuple[int, int],
    incident_id: str,
    track: AudioTrack | None,
) -> None:
    height, width = size
    try:
        # A Python file releases the interpreter's lock (GIL) for each write, even at the end of the clip.
        # FFmpeg would write its own file under the lock.
        with av.open(file, "w", format="mp4", options=_MP4) as container:
            stream = _stream(container, codec, units[0], width, height)
            sound = None if track is None else track.add_to(container)
            container.metadata["comment"] = f"edge-gate incident {incident_id}"
            heard: Iterator[av.Packet[Stream]] = iter(())
            if track is not None and sound is not None:
                shown = [unit.dts_ms for unit in units]
                heard = track.packets(sound, shown[0], shown[-1] + _MOST_AFTER_MS)
            waiting = next(heard, None)
            for packet in _packets(units, codec, extradata):
                while waiting is not None and (waiting.dts or 0) <= (packet.dts or 0):
                    container.mux_one(waiting)
                    waiting = next(heard, None)
                packet.stream = stream
                container.mux_one(packet)
            for packet in heard if waiting is None else (waiting, *heard):
                container.mux_one(packet)
        file.flush()
    except (av.FFmpegError, ValueError) as error:
        raise BrokenMedia(f"evidence of {incident_id}: the muxer refuses the media: {error}") from error


def _stream(
    container: OutputContainer, codec: Codec, keyframe: AccessUnit, width: int, height: int
) -> Stream:
    if codec is not Codec.VP9:
        return container.add_mux_stream(codec.value, width=width, height=height, time_base=_MILLISECONDS)
    # The MP4 header of VP9 needs profile and pixel format. Only a demuxer can set a stream's profile. For the
    # pixel format it would decode the keyframe, which the whitelist prevents.
    header = struct.pack("<4sHHIHHIIII", b"DKIF", 0, 32, _VP9_TAG, width, height, 1000, 1, 1, 0)
    frame = struct.pack("<IQ", len(keyframe.data), 0) + keyframe.data
    with av.open(io.BytesIO(header + frame), format="ivf", options={"codec_whitelist": "none"}) as source:
        stream = container.add_stream_from_template(source.streams.video[0])
        stream.codec_context.pix_fmt = _VP9_FORMATS[vp9_profile(keyframe.data)]
        stream.time_base = _MILLISECONDS
        return stream


def _packets(units: list[AccessUnit], codec: Codec, extradata: bytes) -> Iterator[av.Packet[Stream]]:
    """Yields packets in Annex B with clean timestamps.

    PyAV cannot set the extradata of a muxed stream. In Annex B the MP4 muxer finds the parameter sets
    itself. Time starts at 0, dts is strictly increasing, pts is never before dts, and no step is over a
    minute.
    """
    framing = framing_of(codec, extradata) if codec in (Codec.H264, Codec.HEVC) else None
    raw_dts, dts = units[0].dts_ms, -1
    previous: av.Packet[Stream] | None = None
    for unit in units:
        data = unit.data if framing is None else framing.annexb(unit.data, keyframe=unit.keyframe)
        if not data:
            continue
        step = unit.dts_ms - raw_dts
        raw_dts = unit.dts_ms
        dts += step if 0 < step <= _MAX_STEP_MS else 1
        packet: av.Packet[Stream] = av.Packet(data)
        packet.dts = max(dts, 0)
        packet.pts = packet.dts + min(max(unit.pts_ms - unit.dts_ms, 0), _MAX_STEP_MS)
        packet.time_base = _MILLISECONDS
        packet.is_keyframe = unit.keyframe
        if previous is not None:
            previous.duration = packet.dts - (previous.dts or 0)
            yield previous
        previous, dts = packet, packet.dts
    if previous is not None:
        previous.duration = _LAST_FRAME_MS
        yield previous
