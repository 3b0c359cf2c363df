"""Windows: the same whatever the pieces, due only where something begins, and in time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.audio.audio_windows import (
    FRAMES,
    STEP_MS,
    WINDOW_MS,
    AudioWindow,
    AudioWindows,
    ListeningRules,
)
from edge.detect.audio.log_mel import BANDS, RATE, log_mel, mel_frames

PLAIN = ListeningRules(peak=0)
Samples = npt.NDArray[np.float32]


def bursts(seconds: float, at_s: list[float], seed: int = 1) -> Samples:
    random = np.random.default_rng(seed)
    samples = (1e-4 * random.standard_normal(round(seconds * RATE))).astype(np.float32)
    for at in at_s:
        start = round(at * RATE)
        samples[start : start + 1600] += (0.3 * random.standard_normal(1600)).astype(np.float32)[
            : len(samples) - start
        ]
    return samples


def windows(
    samples: Samples, rules: ListeningRules = PLAIN, size: int = 8000, start_ms: float = 0.0
) -> list[AudioWindow]:
    cut = AudioWindows(rules)
    found: list[AudioWindow] = []
    for begin in range(0, len(samples), size):
        at_ms = start_ms + 1000 * begin / RATE
        found += cut.add_samples(samples[begin : begin + size], at_ms, restarted=begin == 0)
    return found


def due(found: list[AudioWindow]) -> list[float]:
    return [window.begin_ms for window in found if window.patch is not None]


def test_silence_makes_no_window_due() -> None:
    found = windows(np.zeros(10 * RATE, np.float32))
    assert len(found) == 20
    assert due(found) == []


def test_only_windows_with_the_beginning_of_audio_are_due() -> None:
    found = windows(bursts(10, [5.0]))
    assert due(found)
    for window in found:
        holds = window.begin_ms - 10 < 5000 < window.end_ms - 15
        assert (window.patch is not None) == holds or abs(5000 - window.begin_ms) < 120


def test_a_window_is_the_audio_of_its_time() -> None:
    samples = bursts(6, [2.5])
    for window in windows(samples):
        if window.patch is None:
            continue
        begin = round(window.begin_ms * RATE / 1000)
        sound = samples[begin : begin + round(WINDOW_MS * RATE / 1000)]
        assert window.patch.shape == (FRAMES, BANDS)
        assert np.allclose(window.patch, log_mel(mel_frames(sound)), atol=1e-4)
        assert window.end_ms == pytest.approx(window.begin_ms + WINDOW_MS)


def test_audio_before_the_first_sample_is_silence() -> None:
    first = windows(bursts(1, [0.1]))[0]
    assert first.begin_ms == pytest.approx(STEP_MS - WINDOW_MS + 15)
    assert first.patch is not None
    assert np.allclose(first.patch[:45], np.log(0.001))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40_000), st.lists(st.floats(0, 3.8), max_size=5), st.booleans())
def test_pieces_change_nothing(size: int, at_s: list[float], on: bool) -> None:
    samples = bursts(4, at_s)
    rules = ListeningRules() if on else PLAIN
    whole, parts = windows(samples, rules, len(samples)), windows(samples, rules, size)
    assert len(whole) == len(parts) == 8
    for one, other in zip(whole, parts, strict=True):
        assert one.end_ms == pytest.approx(other.end_ms)
        assert (one.patch is None) == (other.patch is None)
        if one.patch is not None and other.patch is not None:
            assert np.allclose(one.patch, other.patch, atol=1e-4)


def test_all_are_due_while_the_judge_asks_to_go_on() -> None:
    cut = AudioWindows(PLAIN)
    samples = np.zeros(RATE, np.float32)
    assert [w.patch for w in cut.add_samples(samples, 0, restarted=True)] == [None, None]
    cut.go_on = True
    assert all(w.patch is not None for w in cut.add_samples(samples, 1000, restarted=False))
    cut.go_on = False
    assert all(w.patch is None for w in cut.add_samples(samples, 2000, restarted=False))


def test_a_gap_begins_anew_at_its_end() -> None:
    cut = AudioWindows(PLAIN)
    list(cut.add_samples(bursts(1, [0.2]), 0, restarted=True))
    found = list(cut.add_samples(bursts(1, []), 9000, restarted=True))
    assert [w.end_ms for w in found] == pytest.approx([9000 + STEP_MS + 15, 9000 + 2 * STEP_MS + 15])


def test_time_follows_the_clock_of_the_stream() -> None:
    cut = AudioWindows(PLAIN)
    ends: list[float] = []
    for second in range(20):
        begins_ms = 1010.0 * second  # a sound card that is slow by a hundredth
        ends += [
            w.end_ms for w in cut.add_samples(np.zeros(RATE, np.float32), begins_ms, restarted=not second)
        ]
    assert ends[-1] == pytest.approx(1010 * 19 + 1000, abs=600)
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("peak", "gain"), [(0.7, 1.0), (0.07, 10.0), (0.001, 10.0), (1.4, 0.5), (0.0, 10.0), (0.35, 2.0)]
)
def test_a_window_is_made_as_loud_as_the_rules_say(peak: float, gain: float) -> None:
    assert ListeningRules().gain(peak) == pytest.approx(gain)
    assert ListeningRules(peak=0).gain(peak) == 1


def test_quiet_audio_is_made_louder_before_it_is_judged() -> None:
    samples = bursts(2, [1.0])
    peak = np.abs(samples).max()
    loud = due_patches(windows((samples * (0.7 / peak)).astype(np.float32), PLAIN))
    quiet = due_patches(windows((samples * (0.1 / peak)).astype(np.float32), ListeningRules()))
    best = [np.abs(one - other).max() for one, other in zip(loud, quiet, strict=True)]
    assert min(best) < 1e-2


def due_patches(found: list[AudioWindow]) -> list[npt.NDArray[np.float32]]:
    return [window.patch for window in found if window.patch is not None]
