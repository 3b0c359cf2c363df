"""Mel spectra of audio, as YAMNet and every audio model of the gate take them.

A frame is the magnitude spectrum of 25 ms under a periodic Hann window, in 64 bands from 125 to 7,500 Hz. One
begins every 10 ms. Source: tensorflow/models, ``research/audioset/yamnet/features.py`` and ``params.py``; the
bands are those of ``tf.signal.linear_to_mel_weight_matrix``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.fft  # numpy would load it when it is first used, which a contained process cannot
import numpy.typing as npt

RATE: Final = 16_000
"""Samples a second, mono."""
WINDOW: Final = 400
"""Samples in a frame."""
HOP: Final = 160
"""Samples from frame to frame."""
FFT: Final = 512
BANDS: Final = 64
LOWEST_HZ: Final = 125.0
HIGHEST_HZ: Final = 7500.0
LOG_OFFSET: Final = 0.001

Samples16k = npt.NDArray[np.float32]
"""Mono samples ``(n,)`` at ``RATE``, full scale 1."""
Mel = npt.NDArray[np.float32]
"""Magnitudes in bands, ``(frames, BANDS)``."""


def _mel(hz: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(np.asarray(hz) / 700.0))


def mel_weights() -> npt.NDArray[np.float32]:
    """Returns the triangles of the bands, float32 ``(FFT // 2 + 1, BANDS)``. The constant part has none."""
    bins = _mel(np.linspace(0.0, RATE / 2, FFT // 2 + 1)[1:])[:, np.newaxis]
    edges = np.linspace(float(_mel(LOWEST_HZ)), float(_mel(HIGHEST_HZ)), BANDS + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    return np.pad(np.maximum(0.0, np.minimum(rising, falling)), ((1, 0), (0, 0))).astype(np.float32)


_HANN: Final = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
_WEIGHTS: Final = mel_weights()


def mel_frames(samples: Samples16k) -> Mel:
    """Returns the whole frames of ``samples``: ``1 + (n - WINDOW) // HOP`` of them, none for fewer
    samples."""
    if len(samples) < WINDOW:
        return np.empty((0, BANDS), np.float32)
    framed = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(framed * _HANN, FFT)).astype(np.float32)
    return np.asarray(spectrum @ _WEIGHTS, np.float32)


def log_mel(mel: Mel, gain: float = 1.0) -> Mel:
    """Returns ``log(gain * mel + 0.001)``: what a model sees of audio that is ``gain`` times as loud."""
    return np.asarray(np.log(mel * np.float32(gain) + np.float32(LOG_OFFSET)), np.float32)
