"""A whole recording as the windows that the gate judges, all at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from edge.detect.audio.audio_windows import FRAMES, STEP_FRAMES, ListeningRules
from edge.detect.audio.log_mel import BANDS, HOP, WINDOW, Samples16k, log_mel, mel_frames

Patches = npt.NDArray[np.float32]
"""``(N, FRAMES, BANDS)``."""
_STEP: Final = STEP_FRAMES * HOP
_SIZE: Final = FRAMES * HOP + WINDOW - HOP
RULES: Final = ListeningRules()


def patches(samples: Samples16k, rules: ListeningRules = RULES) -> Patches:
    """Returns the windows of ``samples``. Silence is before the first and after the last sample."""
    count = max(1, -(-len(samples) // _STEP))
    padded = np.zeros((count - 1) * _STEP + _SIZE, np.float32)
    padded[_STEP : _STEP + len(samples)] = samples[: len(padded) - _STEP]
    mel = mel_frames(padded)
    out = np.empty((count, FRAMES, BANDS), np.float32)
    for at in range(count):
        window = padded[at * _STEP : at * _STEP + _SIZE]
        frames = mel[at * STEP_FRAMES : at * STEP_FRAMES + FRAMES]
        out[at] = log_mel(frames, rules.gain(float(np.abs(window).max())))
    return out
