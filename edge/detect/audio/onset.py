"""Finds where audio rises suddenly. Pure.

A shot begins within milliseconds. Silence, hum, rain and most of a street do not, so a model need not judge
them. The energy of each 10 ms is compared with the median of the 300 ms before.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from edge.detect.audio.log_mel import HOP, Samples16k

STEP: Final = HOP
"""Samples of one energy: 10 ms."""
BACKGROUND: Final = 30
"""Energies whose median is the background."""
_SILENCE_DB: Final = -120.0


class OnsetGate:
    """The gate of one stream."""

    def __init__(self, rise_db: float, floor_db: float) -> None:
        """An onset is ``rise_db`` over the background and louder than ``floor_db``, in decibels of full
        scale."""
        self._rise_db = rise_db
        self._floor_db = floor_db
        self._before: npt.NDArray[np.float64] = np.full(BACKGROUND, _SILENCE_DB)

    def restart(self) -> None:
        """Forgets the background. Audio that begins out of nothing is an onset."""
        self._before = np.full(BACKGROUND, _SILENCE_DB)

    def onsets(self, samples: Samples16k) -> npt.NDArray[np.bool_]:
        """Returns for each 10 ms whether it is an onset, bool ``(n // STEP,)``.

        ``samples`` continues the samples before; a rest shorter than 10 ms is left out, so pass whole steps.
        """
        steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
        if not len(steps):
            return np.empty(0, np.bool_)
        energy = np.einsum("ij,ij->i", steps, steps, dtype=np.float64) / STEP
        level = 10 * np.log10(np.maximum(energy, 10 ** (_SILENCE_DB / 10)))
        heard = np.concatenate((self._before, level))
        self._before = heard[-BACKGROUND:]
        loud = level > self._floor_db
        if not loud.any():  # silence is most of many streams, and medians cost most here
            return np.zeros(len(loud), np.bool_)
        background = np.median(np.lib.stride_tricks.sliding_window_view(heard, BACKGROUND)[:-1], axis=1)
        return np.asarray(loud & (level > background + self._rise_db), np.bool_)
