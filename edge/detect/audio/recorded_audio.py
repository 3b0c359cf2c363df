"""Checks with drawn sounds that an audio model scores here as on the machine that exported it.

The sounds go the gate's own way: loudness, log-mel, model, calibration. So the check also finds a machine
whose numpy transforms audio differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.audio.audio_windows import FRAMES, ListeningRules
from edge.detect.audio.log_mel import HOP, RATE, WINDOW, Mel, Samples16k, log_mel, mel_frames
from edge.detect.witness_specs import AudioSpec, DrawnSound

_COUNT: Final = FRAMES * HOP + WINDOW - HOP
_VOLLEY_S: Final = (0.1, 0.22, 0.34, 0.46, 0.58, 0.7, 0.82)

Doubles = NDArray[np.float64]
AudioScores = Mapping[DrawnSound, tuple[float, ...]]
"""Scores of drawn sounds, one for each category."""


def drawn_sounds() -> dict[DrawnSound, Samples16k]:
    """Returns the drawn sounds, one window each, at 16 kHz. They do not depend on the numpy version.

    The volley sounds like automatic fire, and the cry like a voice. Real models score them neither 0 nor 1,
    where a difference shows best.
    """
    time = np.arange(_COUNT) / RATE
    pitch = np.cumsum(900 * (1 + 0.06 * np.sin(2 * np.pi * 6 * time) + 0.3 * np.minimum(time, 0.4))) / RATE
    drawn: dict[DrawnSound, Doubles] = {
        "silence": np.zeros(_COUNT),
        "hum": 0.3 * _harmonics(50 * time, {1: 1.0, 2: 1 / 2, 3: 1 / 3, 5: 1 / 5}),
        "noise": 0.3 * _noise("noise"),
        "click": _noise("click") * _decays(time, (0.5,), 0.003),
        "shot": _dulled(_noise("shot"), 3) * _decays(time, (0.3,), 0.12),
        "volley": _noise("volley") * _decays(time, _VOLLEY_S, 0.03),
        "cry": 0.2 * _harmonics(pitch, {k: k**-0.5 for k in range(1, 6)}) + 0.02 * _noise("cry"),
    }
    return {name: samples.astype(np.float32) for name, samples in drawn.items()}


def drawn_patches(rules: ListeningRules) -> dict[DrawnSound, Mel]:
    """Returns what a model with these rules sees of the drawn sounds, float32 ``(FRAMES, BANDS)``."""
    return {
        name: log_mel(mel_frames(samples), rules.gain(float(np.abs(samples).max())))
        for name, samples in drawn_sounds().items()
    }


def audio_scores(spec: AudioSpec, infer: Callable[[Mel], Mapping[str, float]]) -> AudioScores:
    """Returns a model's scores of every drawn sound, for ``AudioSpec.recorded``."""
    found: dict[DrawnSound, tuple[float, ...]] = {}
    for name, patch in drawn_patches(ListeningRules.of(spec.input)).items():
        scores = infer(patch)
        found[name] = tuple(round(scores[category.name], 4) for category in spec.categories)
    return found


def audio_missed_by(spec: AudioSpec, scores: AudioScores) -> dict[str, float]:
    """Returns how far the scores are from the recorded ones: for each sound the largest distance.

    Empty where the manifest records nothing.
    """
    return {
        f"sound {name!r}": float(np.abs(np.subtract(scores[name], recorded)).max())
        for name, recorded in spec.recorded.items()
    }


def _noise(name: str) -> Doubles:
    drawn = np.frombuffer(hashlib.shake_128(name.encode()).digest(2 * _COUNT), dtype="<u2")
    return np.asarray(drawn / 32768.0 - 1.0)


def _decays(time: Doubles, starts: Sequence[float], seconds: float) -> Doubles:
    after = [np.where(time >= start, np.exp(-np.maximum(time - start, 0) / seconds), 0.0) for start in starts]
    return np.asarray(np.sum(after, axis=0))


def _harmonics(cycles: Doubles, weights: Mapping[int, float]) -> Doubles:
    return np.asarray(np.sum([w * np.sin(2 * np.pi * k * cycles) for k, w in weights.items()], axis=0))


def _dulled(samples: Doubles, over: int) -> Doubles:
    sums = np.cumsum(np.concatenate((np.zeros(over), samples)))
    return np.asarray((sums[over:] - sums[:-over]) / over)[: len(samples)]
