"""Finds known sound in the encoded audio frames of one stream.

It runs next to the video and never holds it up. Faults of the sound end here, and their reason is counted
once.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from edge.domain import AUDIO_CODECS, Audio, Signal
from edge.errors import BrokenMedia, InvalidInput, UnsupportedCodec
from edge.match import AudioFingerprinter, AudioItems, AudioLookup, AudioMatcher, Items
from edge.reasons import DegradedReason
from edge.timestamps import Timestamps

UNITS_A_SECOND: Final = 200
"""Most audio frames a second of wall time, on average."""
UNITS_AT_ONCE: Final = 2000
"""Most audio frames by which a stream may be ahead of that rate."""
_OPENING_UNITS: Final = 100
"""Cost of a change of the codec, in frames."""
_MOST_GAPS: Final = 4.0
"""Most gaps in a row that are believed. More are no gaps: each would begin the fingerprint anew."""
_FORGET: Final = 1 / 500
"""Part of a gap that a frame without one makes up for."""
_MOST_BROKEN: Final = 32
"""Consecutive undecodable frames after which decoding stops."""


class StreamAudio:
    """Decodes and matches the sound of one stream. Not thread-safe.

    Raises ConfigError where libchromaprint is missing.
    """

    def __init__(self, banks: AudioLookup) -> None:
        self.problems: Counter[DegradedReason] = Counter()
        """Number of faults by reason since the caller last cleared it."""
        self.off = False
        """Whether the sound of this stream is no longer decoded."""
        self._hearing = AudioFingerprinter()
        self._listening = AudioMatcher(banks)
        self._timestamps = Timestamps()
        self._gaps = 0.0
        self._untimed = False
        """The stamps say nothing: each frame follows the one before."""
        self._decoder: AudioCodecContext | None = None
        self._format: tuple[str, bytes] | None = None
        self._broken = 0
        self._allowed = float(UNITS_AT_ONCE)
        self._allowed_ms: float | None = None

    def hear(self, audio: Audio, now_ms: float) -> tuple[Signal, ...]:
        """Takes the next audio frames. Returns the known sound in them. ``now_ms`` is monotonic. Never
        raises."""
        if self.off:
            return ()
        if not self._allows(audio, now_ms):
            self.problems[DegradedReason.AUDIO_TOO_MUCH] += 1
            self._listening.restart()
            return ()
        try:
            if (audio.codec, audio.extradata) != self._format:
                self._decoder = _open(audio.codec, audio.extradata)
                self._format = audio.codec, audio.extradata
            heard = [each for unit in audio.units for each in self._unit(*unit)]
            return self._look_up(heard)
        except UnsupportedCodec:
            self._end(DegradedReason.AUDIO_UNSUPPORTED)
        except Exception:  # no fault of the sound may stop the video
            self._end(DegradedReason.AUDIO_BROKEN)
        return ()

    def _look_up(self, heard: list[AudioItems]) -> tuple[Signal, ...]:
        """Looks up consecutive items together. A lookup costs about the same for one item as for eight."""
        signals: tuple[Signal, ...] = ()
        run: list[Items] = []
        start_ms = 0.0
        for each in heard:
            if each.restarted:
                signals += self._listen(run, start_ms)
                run = []
                self._listening.restart()
            if len(each.items):
                start_ms = start_ms if run else each.start_ms
                run.append(each.items)
        return signals + self._listen(run, start_ms)

    def _listen(self, run: list[Items], start_ms: float) -> tuple[Signal, ...]:
        return self._listening.add_items(np.concatenate(run), start_ms) if run else ()

    def _unit(self, pts_ms: int, data: bytes) -> list[AudioItems]:
        pts_ms, _ = self._timestamps.advance(pts_ms, pts_ms)
        try:
            assert self._decoder is not None
            frames = self._decoder.decode(av.Packet(data)) if data else []
            heard = [self._hearing.add_frame(frame, self._good_time(pts_ms)) for frame in frames]
        except (av.FFmpegError, ValueError, OSError, InvalidInput) as error:
            self._broken += 1
            if self._broken >= _MOST_BROKEN:
                raise BrokenMedia("nothing decodable") from error
            return []
        self._broken = 0
        return heard

    def _good_time(self, pts_ms: float) -> float:
        """Returns when a frame begins. Its samples say how long the sound is, whatever its stamps say."""
        end_ms = self._hearing.end_ms
        if end_ms is None:
            return pts_ms
        follows = self._hearing.follows(pts_ms)
        self._gaps = self._gaps + 1 if not follows else max(0.0, self._gaps - _FORGET)
        if self._gaps > _MOST_GAPS and not self._untimed:
            self._untimed = True
            self.problems[DegradedReason.TIMESTAMPS] += 1
        return end_ms if self._untimed else pts_ms

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
