"""Frames of every format, rate and layout become the same 16 kHz mono audio, at the right time."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.stream.mono_audio import RATE, MonoAudio, mixed, resampler
from tests.conftest import require

FORMATS = ["u8", "u8p", "s16", "s16p", "s32", "s32p", "s64", "s64p", "flt", "fltp", "dbl", "dblp"]
Floats = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def library() -> None:
    require(resampler() is not None, "soxr")


def tone(rate: int, seconds: float, hz: float = 440.0) -> npt.NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def frames(
    samples: npt.NDArray[np.float64], rate: int, form: str, layout: str, size: int = 1024
) -> list[av.AudioFrame]:
    """The same samples in every channel."""
    resample = av.AudioResampler(format=form, layout=layout, rate=rate)
    found = []
    channels = av.AudioLayout(layout).nb_channels
    for begin in range(0, len(samples), size):
        part = np.repeat(samples[begin : begin + size], channels)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(part, format="dbl", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin
        found += resample.resample(frame)
    return found


def heard(given: list[av.AudioFrame]) -> tuple[Floats, list[float]]:
    mono, parts, times, at_ms = MonoAudio(), [], [], 0.0
    for number, frame in enumerate(given):
        made = mono.add_frame(frame, at_ms, restarted=not number)
        at_ms += 1000 * frame.samples / frame.sample_rate
        if len(made.samples):
            parts.append(made.samples)
            times.append(made.start_ms)
    return np.concatenate(parts), times


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "7.1", "hexadecagonal"])
def test_every_format_and_layout(form: str, layout: str) -> None:
    found, _ = heard(frames(tone(48_000, 1), 48_000, form, layout))
    assert found.dtype == np.float32
    wanted = tone(RATE, 1)[: len(found)]
    assert np.abs(found[200:-200] - wanted[200:-200]).max() < (0.02 if form.startswith("u8") else 0.002)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_at_the_right_time(rate: int) -> None:
    samples = np.zeros(2 * rate)
    samples[rate : rate + rate // 100] = 0.5
    mono, found, at_ms = MonoAudio(), {}, 700.0
    for number, frame in enumerate(frames(samples, rate, "fltp", "mono", size=rate // 50)):
        made = mono.add_frame(frame, at_ms, restarted=not number)
        at_ms += 1000 * frame.samples / rate
        for n, value in enumerate(made.samples):
            found[made.start_ms + 1000 * n / RATE] = value
    times = sorted(found)
    assert np.diff(times).max() < 0.1
    middle = [time for time in times if found[time] > 0.25]
    assert middle[0] == pytest.approx(1700, abs=1)
    assert middle[-1] == pytest.approx(1710, abs=1)


def test_all_tones_up_to_the_limit_are_kept_and_none_beyond() -> None:
    for hz, share in ((40, 1), (1000, 1), (7000, 1), (9000, 0), (15_000, 0)):
        found, _ = heard(frames(tone(48_000, 1, hz), 48_000, "s16", "stereo"))
        assert np.abs(found[1000:-1000]).max() == pytest.approx(0.5 * share, abs=0.01), hz


def test_another_rate_begins_anew() -> None:
    mono = MonoAudio()
    first, second = (
        frames(tone(48_000, 0.1), 48_000, "s16", "mono")[0],
        frames(tone(44_100, 0.1), 44_100, "s16", "mono")[0],
    )
    assert mono.add_frame(first, 0, restarted=True).restarted
    assert not mono.add_frame(first, 21, restarted=False).restarted
    made = mono.add_frame(second, 42, restarted=False)
    assert (made.restarted, made.start_ms) == (True, 42)


@pytest.mark.parametrize("rate", [1, 3_999, 384_001])
def test_other_rates_are_refused(rate: int) -> None:
    frame = frames(tone(48_000, 0.01), 48_000, "s16", "mono")[0]
    frame.sample_rate = rate
    with pytest.raises(InvalidInput, match=r"audio\.rate"):
        MonoAudio().add_frame(frame, 0, restarted=True)


def test_opposite_phase_hides_nothing() -> None:
    sound = tone(48_000, 1).astype(np.float32)
    assert np.allclose(mixed(np.stack([sound, -sound])), sound)
    assert np.allclose(mixed(np.stack([sound, -0.9 * sound])), sound)
    assert np.allclose(mixed(np.stack([sound, 0 * sound])), sound / 2)
    assert np.allclose(mixed(np.stack([sound, -sound, 0 * sound, 0 * sound])), sound)


@settings(deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.integers(1, 8))
def test_whatever_numbers_come_the_mix_is_sound(values: list[float], channels: int) -> None:
    samples = np.resize(np.array(values, np.float32), (channels, max(1, len(values) // channels)))
    found = mixed(samples)
    assert found.shape == (samples.shape[1],)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max(initial=0) <= 1
