"""Cuts the audio of one stream into windows, and says which of them a model should judge. Pure.

A window is 96 frames, 0.98 s. One ends every 48 frames, 0.48 s. It is due while an onset lies in it, and as
long as the judge asks to go on. Nothing is transformed for the others, so silence and steady audio cost next
to nothing. Before the first sample there is silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from edge.detect.audio.log_mel import HOP, RATE, WINDOW, Mel, Samples16k, log_mel, mel_frames
from edge.detect.audio.onset import OnsetGate
from edge.detect.witness_specs import SpectrumInput

FRAMES: Final = 96
"""Frames of a window."""
STEP_FRAMES: Final = 48
"""Frames from window to window."""
WINDOW_MS: Final = 1000 * (FRAMES * HOP + WINDOW - HOP) / RATE
STEP_MS: Final = 1000 * STEP_FRAMES * HOP / RATE
_STEP: Final = STEP_FRAMES * HOP
_TAIL: Final = WINDOW - HOP
"""Samples of a frame that lie beyond its hop."""
_SILENCE: Final = np.zeros(FRAMES * HOP - _STEP, np.float32)


@dataclass(frozen=True, slots=True)
class ListeningRules:
    """When a window is judged, and how loud it is made first. Levels are decibels of full scale."""

    rise_db: float = 6.0
    """An onset rises so much over the background …"""
    floor_db: float = -50.0
    """… and is louder than this."""
    peak: float = 0.7
    """Each window is made so loud that its highest sample is this. 0 leaves it as it is."""
    most_gain_db: float = 20.0
    """Most that a window is made louder."""

    @classmethod
    def of(cls, spec: SpectrumInput) -> ListeningRules:
        """Returns the rules of a manifest."""
        return cls(spec.rise_db, spec.floor_db, spec.peak, spec.most_gain_db)

    def gain(self, peak: float) -> float:
        """Returns the factor for a window whose highest sample is ``peak``."""
        if not self.peak:
            return 1.0
        return float(min(self.peak / max(peak, 1e-9), 10 ** (self.most_gain_db / 20)))


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """A window. Times are media milliseconds."""

    begin_ms: float
    end_ms: float
    patch: Mel | None = field(default=None, repr=False)
    """What the model sees, float32 ``(FRAMES, BANDS)``. None: it is not due."""


class AudioWindows:
    """The windows of one stream, in constant memory."""

    def __init__(self, rules: ListeningRules) -> None:
        self.go_on = False
        """Whether windows are due although there is no onset. The judge of the windows sets it."""
        self._rules = rules
        self._gate = OnsetGate(rules.rise_db, rules.floor_db)
        self._samples: Samples16k = _SILENCE
        """The samples of the next window that have come."""
        self._count = 0
        """Number of samples since the beginning or the newest gap."""
        self._first_ms = 0.0
        self._ends = _STEP
        """Number of samples before the end of the next window, without its tail."""
        self._onset = -FRAMES * HOP
        """Number of samples before the newest onset."""
        self._mel: Mel | None = None
        """The newest frames, where the window before was due."""

    def add_samples(self, samples: Samples16k, start_ms: float, *, restarted: bool) -> Iterator[AudioWindow]:
        """Takes the next samples, of which the first was at ``start_ms``. Yields the windows that end in
        them.

        ``restarted``: they do not continue the samples before. Take all windows before the next call.
        """
        if restarted:
            self._begin_anew()
        self._first_ms = start_ms - 1000 * self._count / RATE
        self._count += len(samples)
        self._samples = np.concatenate((self._samples, samples))
        while self._count >= self._ends + _TAIL:
            yield self._next_window()

    def _begin_anew(self) -> None:
        self._samples, self._count, self._ends, self._onset = _SILENCE, 0, _STEP, -FRAMES * HOP
        self._mel = None
        self._gate.restart()

    def _next_window(self) -> AudioWindow:
        size = FRAMES * HOP + _TAIL
        window = self._samples[:size]
        found = np.flatnonzero(self._gate.onsets(window[-_TAIL - _STEP : -_TAIL]))
        if len(found):
            self._onset = self._ends - _STEP + int(found[-1]) * HOP
        due = self.go_on or self._onset >= self._ends - FRAMES * HOP
        end_ms = self._first_ms + 1000 * (self._ends + _TAIL) / RATE
        patch = self._patch(window) if due else None
        if not due:
            self._mel = None
        self._samples = self._samples[_STEP:]
        self._ends += _STEP
        return AudioWindow(end_ms - WINDOW_MS, end_ms, patch)

    def _patch(self, window: Samples16k) -> Mel:
        before = mel_frames(window[:-_STEP]) if self._mel is None else self._mel
        self._mel = mel_frames(window[-_STEP - _TAIL :])
        mel = np.concatenate((before, self._mel))
        return log_mel(mel, self._rules.gain(float(np.abs(window).max())))
