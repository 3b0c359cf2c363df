"""Frames of audio are gathered before they are mixed and resampled; nothing is lost or moved by it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import InvalidInput
from edge.stream import AudioFrames, MonoAudio
from edge.stream.mono_audio import RATE, resampler

pytestmark = pytest.mark.skipif(resampler() is None, reason="soxr is not installed")

Floats = npt.NDArray[np.float32]


class Listener:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.parts: list[tuple[Floats, float, bool]] = []

    def add_samples(self, samples: Floats, start_ms: float, *, restarted: bool) -> None:
        self.parts.append((samples, start_ms, restarted))

    @property
    def sound(self) -> Floats:
        return np.concatenate([samples for samples, _, _ in self.parts])


def frames(channels: Floats, rate: int, size: int = 1024) -> list[av.AudioFrame]:
    found = []
    for begin in range(0, channels.shape[1], size):
        part = np.ascontiguousarray(channels[:, begin : begin + size])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin
        found.append(frame)
    return found


def noise(seconds: float, rate: int) -> Floats:
    return np.random.default_rng(3).uniform(-0.5, 0.5, (2, round(seconds * rate))).astype(np.float32)


def add_all(into: AudioFrames, given: list[av.AudioFrame], at_ms: float = 0.0) -> None:
    for frame in given:
        into.add_frame(frame, at_ms)
        at_ms += 1000 * frame.samples / frame.sample_rate


def test_gathered_frames_audio_as_frames_one_by_one() -> None:
    given = frames(noise(2.0, 44_100), 44_100)
    listener, mono, alone, at_ms = Listener(), MonoAudio(), [], 0.0
    gathered = AudioFrames(listener=listener)
    for number, frame in enumerate(given):
        alone.append(mono.add_frame(frame, at_ms, restarted=not number).samples)
        at_ms += 1000 * frame.samples / frame.sample_rate
        gathered.add_frame(frame, at_ms)
        if number % 20 == 19:
            gathered.flush()
    gathered.flush()
    assert len(listener.parts) < len(given) / 10
    assert np.allclose(listener.sound, np.concatenate(alone), atol=1e-6)
    assert [restarted for _, _, restarted in listener.parts] == [True] + [False] * (len(listener.parts) - 1)


def test_a_gap_hands_on_what_was_before_it_and_begins_anew_after_it() -> None:
    listener = Listener()
    gathered = AudioFrames(listener=listener)
    add_all(gathered, frames(noise(0.2, 48_000), 48_000), at_ms=100.0)
    assert not listener.parts
    add_all(gathered, frames(noise(0.2, 48_000), 48_000), at_ms=5000.0)
    gathered.flush()
    assert [(round(start_ms), restarted) for _, start_ms, restarted in listener.parts] == [
        (100, True),
        (5000, True),
    ]


def test_another_rate_within_a_message_is_heard_as_well() -> None:
    listener = Listener()
    gathered = AudioFrames(listener=listener)
    add_all(gathered, frames(noise(0.3, 48_000), 48_000))
    add_all(gathered, frames(noise(0.3, 16_000), 16_000), at_ms=300.0)
    gathered.flush()
    assert [(round(start_ms), restarted) for _, start_ms, restarted in listener.parts] == [
        (0, True),
        (300, True),
    ]
    assert len(listener.parts[1][0]) == pytest.approx(0.3 * RATE, abs=400)


def test_a_short_audio_in_opposite_phase_is_not_lost_in_what_is_gathered() -> None:
    sound = 0.1 * noise(0.5, 48_000)[:1].repeat(2, axis=0)
    sound[:, 10_240:12_288] = [[0.5], [-0.5]] * np.sin(np.arange(2048) / 5, dtype=np.float32)
    listener = Listener()
    gathered = AudioFrames(listener=listener)
    add_all(gathered, frames(sound, 48_000))
    gathered.finish()
    assert len(listener.parts) == 2  # the audio, and the silence after it
    assert np.abs(listener.parts[0][0]).max() == pytest.approx(0.5, abs=0.05)


def test_little_is_gathered_however_many_channels_there_are() -> None:
    listener = Listener()
    gathered = AudioFrames(listener=listener)
    for number in range(40):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8 * 1024), np.float32), format="flt", layout="7.1")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), None
        gathered.add_frame(frame, number * 1024 / 48)
    assert sum(len(samples) for samples, _, _ in listener.parts) > 30 * 1024 / 3


def test_a_rate_out_of_bounds_is_refused_at_once() -> None:
    frame = frames(noise(0.01, 1000), 1000)[0]
    with pytest.raises(InvalidInput, match=r"audio\.rate"):
        AudioFrames(listener=Listener()).add_frame(frame, 0)
