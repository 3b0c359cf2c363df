"""The mel spectra are those of YAMNet's published parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.audio.log_mel import BANDS, HOP, RATE, WINDOW, log_mel, mel_frames, mel_weights


def reference(samples: np.ndarray) -> np.ndarray:
    """The same, written out slowly in float64 from the published parameters."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    bins = 1127 * np.log(1 + np.arange(257) * (8000 / 256) / 700)
    frames = []
    for start in range(0, len(samples) - 399, 160):
        spectrum = np.abs(np.fft.rfft(samples[start : start + 400].astype(np.float64) * hann, 512))
        bands = []
        for low, mid, high in zip(edges, edges[1:], edges[2:], strict=False):
            weights = np.maximum(0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
            weights[0] = 0
            bands.append(spectrum @ weights)
        frames.append(bands)
    return np.log(np.array(frames) + 0.001)


@pytest.mark.parametrize("level", [1.0, 0.01, 1e-4])
def test_it_is_the_published_log_mel(level: float) -> None:
    random = np.random.default_rng(1)
    tone = np.sin(2 * np.pi * 1234.5 * np.arange(RATE) / RATE)
    samples = (level * (tone + 0.1 * random.standard_normal(RATE))).astype(np.float32)
    found = log_mel(mel_frames(samples))
    assert found.dtype == np.float32
    assert found.shape == (98, BANDS)
    assert np.abs(found - reference(samples)).max() < 2e-3


def test_a_tone_is_in_its_band_and_silence_is_the_offset() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    weights = mel_weights()
    assert mel_frames(tone).mean(0).argmax() == weights[32].argmax()
    assert weights[0].max() == 0
    assert np.allclose(log_mel(mel_frames(np.zeros(RATE, np.float32))), np.log(0.001))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 3000), st.floats(0.01, 10))
def test_frames_are_counted_and_loudness_is_a_factor(count: int, gain: float) -> None:
    samples = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    mel = mel_frames(samples)
    assert len(mel) == max(0, 1 + (count - WINDOW) // HOP if count >= WINDOW else 0)
    assert np.allclose(log_mel(mel, gain), log_mel(mel_frames(samples * np.float32(gain))), atol=1e-3)
