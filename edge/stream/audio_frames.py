"""Hands the decoded sound of one stream or file to all that listens to it. Not thread-safe."""

from __future__ import annotations

import av
import numpy as np

from edge.errors import LimitExceeded
from edge.match import MAX_FRAME_SAMPLES, AudioItems
from edge.stream.audio_clock import AudioClock
from edge.stream.known_audio import KnownAudio
from edge.stream.mono_audio import RATE, MonoAudio
from edge.stream.ports import AudioListener

_AFTER: np.typing.NDArray[np.float32] = np.zeros(RATE, np.float32)
"""A second of silence after the end, so that what sounds last is heard whole."""


class AudioFrames:
    """What listens to one sound. It can be set anew at any time."""

    def __init__(self, known: KnownAudio | None = None, listener: AudioListener | None = None) -> None:
        self.known = known
        """Looks for known sound. None: nothing does."""
        self.listener = listener
        """Gets all sound as mono samples at 16 kHz, with its lowest tones. None: nothing does."""
        self.clock = AudioClock()
        self._mono: MonoAudio | None = None
        self._end_ms = 0.0

    def add_frame(self, frame: av.AudioFrame, pts_ms: float) -> list[AudioItems]:
        """Takes the next frame, whose stamp is ``pts_ms``. Returns the fingerprint's items that it completes.

        Raises LimitExceeded for a frame of over 65,536 samples, and what fingerprinting and resampling raise.
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
            restarted = restarted or self._mono is None
            self._mono = self._mono or MonoAudio()
            mono = self._mono.add_frame(frame, start_ms, restarted=restarted)
            self.listener.add_samples(mono.samples, mono.start_ms, restarted=mono.restarted)
        return [] if self.known is None else [self.known.add_frame(frame, start_ms)]

    def finish(self) -> list[AudioItems]:
        """Ends the sound, with silence after it. Returns the last items."""
        if self.listener is not None and self._mono is not None:
            self.listener.add_samples(_AFTER, self._end_ms, restarted=False)
        self._mono = None
        return [] if self.known is None else [self.known.finish()]
