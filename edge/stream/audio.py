"""Decodes the audio of one stream once, for all that listens to it.

It runs next to the video and never holds it up. Faults of the audio end here, and their reason is counted
once.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext

from edge.domain import AUDIO_CODECS, Audio, Signal
from edge.errors import BrokenMedia, InvalidInput, UnsupportedCodec
from edge.match import AudioItems
from edge.reasons import DegradedReason
from edge.stream.audio_frames import AudioFrames
from edge.stream.known_audio import KnownAudio
from edge.stream.ports import AudioListener

UNITS_A_SECOND: Final = 200
"""Most audio frames a second of wall time, on average."""
UNITS_AT_ONCE: Final = 2000
"""Most audio frames by which a stream may be ahead of that rate."""
_OPENING_UNITS: Final = 100
"""Cost of a change of the codec, in frames."""
_MOST_BROKEN: Final = 32
"""Consecutive undecodable frames after which decoding stops."""


class StreamAudio(AudioFrames):
    """Decodes the audio of one stream and hands it to what is set. Not thread-safe."""

    def __init__(self, known: KnownAudio | None = None, listener: AudioListener | None = None) -> None:
        super().__init__(known, listener)
        self.problems: Counter[DegradedReason] = Counter()
        """Number of faults by reason since the caller last cleared it."""
        self.off = False
        """Whether the audio of this stream is no longer decoded."""
        self._untimed_said = False
        self._decoder: AudioCodecContext | None = None
        self._format: tuple[str, bytes] | None = None
        self._broken = 0
        self._allowed = float(UNITS_AT_ONCE)
        self._allowed_ms: float | None = None

    def hear(self, audio: Audio, now_ms: float) -> tuple[Signal, ...]:
        """Takes the next audio frames. Returns the known audio in them. ``now_ms`` is monotonic. Never
        raises."""
        if self.off:
            return ()
        if not self._allows(audio, now_ms):
            self.problems[DegradedReason.AUDIO_TOO_MUCH] += 1
            if self.known is not None:
                self.known.restart()
            return ()
        try:
            if (audio.codec, audio.extradata) != self._format:
                self._decoder = _open(audio.codec, audio.extradata)
                self._format = audio.codec, audio.extradata
            heard = [each for unit in audio.units for each in self._unit(*unit)]
            self.flush()
            return () if self.known is None else self.known.look_up(heard)
        except UnsupportedCodec:
            self._end(DegradedReason.AUDIO_UNSUPPORTED)
        except Exception:  # no fault of the audio may stop the video
            self._end(DegradedReason.AUDIO_BROKEN)
        return ()

    def _unit(self, pts_ms: int, data: bytes) -> list[AudioItems]:
        pts_ms = self.clock.unit_time(pts_ms)
        try:
            assert self._decoder is not None
            frames = self._decoder.decode(av.Packet(data)) if data else []
            heard = [each for frame in frames for each in self._frame(frame, pts_ms)]
        except (av.FFmpegError, ValueError, OSError, InvalidInput) as error:
            self._broken += 1
            if self._broken >= _MOST_BROKEN:
                raise BrokenMedia("nothing decodable") from error
            return []
        self._broken = 0
        return heard

    def _frame(self, frame: av.AudioFrame, pts_ms: int) -> list[AudioItems]:
        heard = self.add_frame(frame, pts_ms)
        if self.clock.untimed and not self._untimed_said:
            self._untimed_said = True
            self.problems[DegradedReason.TIMESTAMPS] += 1
        return heard

    def _allows(self, audio: Audio, now_ms: float) -> bool:
        """Whether the rate limit allows these frames. It bounds decoding. No encoder makes 200 frames a
        second."""
        since_ms = 0.0 if self._allowed_ms is None else max(0.0, now_ms - self._allowed_ms)
        self._allowed_ms = now_ms
        self._allowed = min(UNITS_AT_ONCE, self._allowed + since_ms * UNITS_A_SECOND / 1000)
        cost = len(audio.units) + _OPENING_UNITS * ((audio.codec, audio.extradata) != self._format)
        if cost > self._allowed:
            return False
        self._allowed -= cost
        return True

    def _end(self, reason: DegradedReason) -> None:
        self.problems[reason] += 1
        self.off = True
        self._decoder = None


def _open(codec: str, extradata: bytes) -> AudioCodecContext:
    if codec not in AUDIO_CODECS:
        raise UnsupportedCodec("audio.codec", f"{codec[:16]!r} is none of {', '.join(AUDIO_CODECS)}")
    context = av.CodecContext.create(codec, "r")
    if not isinstance(context, AudioCodecContext):
        raise UnsupportedCodec("audio.codec", f"the linked FFmpeg has no decoder for {codec!r}")
    context.thread_type, context.thread_count = "NONE", 1
    if extradata:
        context.extradata = extradata
    context.open()
    return context
