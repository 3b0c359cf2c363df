"""Turns decoded audio frames of any rate, format and layout into mono samples at 16 kHz."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from edge.errors import ConfigError, InvalidInput

RATE: Final = 16_000
LOWEST_RATE: Final = 4_000
HIGHEST_RATE: Final = 384_000
MAX_CHANNELS: Final = 64
_CANCELS: Final = 0.1
"""Below this share of the energy that unrelated channels would have together, their mean cancels them."""
_MOST_PLANES: Final = 7
_BLOCK: Final = 1024
_FULL_SCALE: Final = {"u1": 128.0, "i2": 32768.0, "i4": 2147483648.0}

MISSING: Final = "soxr is not installed (pip install soxr): the gate hears no gunfire without it"

Samples = npt.NDArray[np.float32]


@cache
def resampler() -> ModuleType | None:
    """Loads the resampling library, which a contained process can no longer do. None where it is missing."""
    try:
        import soxr
    except ImportError:
        return None
    return soxr  # type: ignore[no-any-return]


class MonoSamples(NamedTuple):
    """Samples ``(n,)`` at 16 kHz, full scale 1."""

    samples: Samples
    start_ms: float
    restarted: bool
    """Whether they do not continue the samples before."""


def check_bounds(frame: av.AudioFrame) -> None:
    """Raises InvalidInput for a rate or a number of channels out of bounds."""
    rate, channels = frame.sample_rate, frame.layout.nb_channels
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InvalidInput("audio.rate", f"{rate} Hz is not from {LOWEST_RATE} to {HIGHEST_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise InvalidInput("audio.channels", f"{channels} channels are not from 1 to {MAX_CHANNELS}")


class MonoAudio:
    """Resamples the frames of one stream in constant memory. Raises ConfigError where soxr is missing."""

    def __init__(self) -> None:
        library = resampler()
        if library is None:
            raise ConfigError(MISSING)
        self._library = library
        self._shape: tuple[int, int] | None = None
        self._resampler: Any = None
        self._lag_ms = 0.0
        """Length of the audio that the resampler still holds."""

    def add_frame(self, frame: av.AudioFrame, start_ms: float, *, restarted: bool) -> MonoSamples:
        """Takes the next frame, which begins at ``start_ms``. Returns the samples that are ready.

        Raises as ``check_bounds``.
        """
        check_bounds(frame)
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        restarted = restarted or (rate, channels) != self._shape
        if restarted or self._resampler is None:
            self._shape, self._lag_ms = (rate, channels), 0.0
            self._resampler = self._library.ResampleStream(rate, RATE, 1, dtype="float32")
        samples = self._resampler.resample_chunk(mixed(self._channels(frame)))
        length_ms = 1000 * frame.samples / rate
        made_ms = 1000 * len(samples) / RATE
        at_ms = start_ms - self._lag_ms
        self._lag_ms += length_ms - made_ms
        return MonoSamples(samples, at_ms, restarted)

    def _channels(self, frame: av.AudioFrame) -> Samples:
        """Returns the frame's samples as float32 ``(channels, n)``, full scale 1."""
        format_ = frame.format
        # numpy's form is not defined for s64. PyAV reads planes that are not there where they are many.
        if format_.name.startswith("s64") or (format_.is_planar and frame.layout.nb_channels > _MOST_PLANES):
            frame = av.AudioResampler(format="flt").resample(frame)[0]
        values = frame.to_ndarray()
        if not frame.format.is_planar:
            values = values.reshape(-1, frame.layout.nb_channels).T
        scale = _FULL_SCALE.get(values.dtype.str[1:])
        if scale is None:
            return values.astype(np.float32)
        shifted = values.astype(np.float32) - (128.0 if values.dtype == np.uint8 else 0.0)
        return np.asarray(shifted / np.float32(scale), np.float32)


def mixed(channels: Samples) -> Samples:
    """Mixes ``(channels, n)`` to ``(n,)``, within full scale.

    It is their mean. Where that cancels them, as of the same audio in opposite phase, which people hear all
    the same, it is the loudest of them, for each ``_BLOCK`` samples anew. What is no number is silence.
    """
    with np.errstate(invalid="ignore"):
        bounded = np.clip(np.nan_to_num(channels, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    if len(bounded) == 1 or not bounded.shape[1]:
        return np.ascontiguousarray(bounded[0])
    mean = bounded.mean(axis=0, dtype=np.float32)
    begins = np.arange(0, len(mean), _BLOCK)
    energies = np.add.reduceat(np.square(bounded, dtype=np.float64), begins, axis=1)
    kept = np.add.reduceat(np.square(mean, dtype=np.float64), begins)
    for block in np.flatnonzero(kept < _CANCELS * energies.sum(axis=0) / len(bounded) ** 2):
        part = slice(begins[block], begins[block] + _BLOCK)
        mean[part] = bounded[energies[:, block].argmax(), part]
    return np.asarray(mean, np.float32)
