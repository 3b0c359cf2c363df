"""Hands the decoded audio of one stream or file to all that listens to it. Not thread-safe.

Frames are short: 40 and more a second. Mixing and resampling cost several times as much frame by frame as
together, so consecutive frames are gathered first.
"""

from __future__ import annotations

from typing import Final

import av
import numpy as np
from av.audio.fifo import AudioFifo

from edge.errors import LimitExceeded
from edge.match import MAX_FRAME_SAMPLES, AudioItems
from edge.stream.audio_clock import AudioClock
from edge.stream.known_audio import KnownAudio
from edge.stream.mono_audio import RATE, MonoAudio, check_bounds
from edge.stream.ports import AudioListener

_AFTER: np.typing.NDArray[np.float32] = np.zeros(RATE, np.float32)
"""A second of silence after the end, so that what sounds last is heard whole."""
_MOST_GATHERED: Final = 131_072
"""Most values of all channels that are gathered: more than half a second of stereo at 96 kHz."""


class AudioFrames:
    """What listens to one stream's audio. It can be set anew at any time."""

    def __init__(self, known: KnownAudio | None = None, listener: AudioListener | None = None) -> None:
        self.known = known
        """Looks for known audio. None: nothing does."""
        self.listener = listener
        """Gets all audio as mono samples at 16 kHz, with its lowest tones, by ``flush`` at the latest. None:
        nothing does."""
        self.clock = AudioClock()
        self._mono: MonoAudio | None = None
        self._gathered = AudioFifo()
        self._form: tuple[str, str, int] | None = None
        """Format, layout and rate of the gathered frames."""
        self._start_ms = 0.0
        """When they begin."""
        self._restarted = False
        """Whether they do not continue what was handed on before."""
        self._end_ms = 0.0

    def add_frame(self, frame: av.AudioFrame, pts_ms: float) -> list[AudioItems]:
        """Takes the next frame, whose stamp is ``pts_ms``. Returns the fingerprint's items that it completes.

        Raises LimitExceeded for a frame of over 65,536 samples, and what fingerprinting, resampling and
        ``check_bounds`` raise.
        """
        if frame.samples > MAX_FRAME_SAMPLES:
            raise LimitExceeded("audio frame", MAX_FRAME_SAMPLES, frame.samples, "samples")
        if not frame.samples or frame.sample_rate < 1:
            return []
        length_ms = 1000 * frame.samples / frame.sample_rate
        start_ms, restarted = self.clock.frame_time(pts_ms, length_ms)
        self._end_ms = start_ms + length_ms
        if self.listener is None:
            self._mono = None
        else:
            self._gather(frame, start_ms, restarted=restarted)
        return [] if self.known is None else [self.known.add_frame(frame, start_ms)]

    def flush(self) -> None:
        """Hands on what was gathered. Raises ConfigError where resampling is not installed."""
        frame = self._gathered.read() if self._gathered.samples else None
        if self.listener is None or self._mono is None or frame is None:
            return
        mono = self._mono.add_frame(frame, self._start_ms, restarted=self._restarted)
        self._restarted = False
        self.listener.add_samples(mono.samples, mono.start_ms, restarted=mono.restarted)

    def _gather(self, frame: av.AudioFrame, start_ms: float, *, restarted: bool) -> None:
        check_bounds(frame)
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if self._mono is None:
            self._mono, self._gathered, restarted = MonoAudio(), AudioFifo(), True
        if restarted or form != self._form:
            self.flush()
            self._gathered, self._form = AudioFifo(), form
            self._restarted = self._restarted or restarted
        if not self._gathered.samples:
            self._start_ms = start_ms
        stamp, frame.pts = frame.pts, None  # the clock has said when it begins
        self._gathered.write(frame)
        frame.pts = stamp
        if self._gathered.samples * frame.layout.nb_channels >= _MOST_GATHERED:
            self.flush()

    def finish(self) -> list[AudioItems]:
        """Ends the audio, with silence after it. Returns the last items."""
        self.flush()
        if self.listener is not None and self._mono is not None:
            self.listener.add_samples(_AFTER, self._end_ms, restarted=False)
        self._mono = None
        return [] if self.known is None else [self.known.finish()]
