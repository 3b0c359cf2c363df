"""What happens to audio between the event and the gate: distance, rooms, noise, bands, codecs, speed.

Samples are float32 mono at 16 kHz, full scale 1. All but codecs are pure given the generator.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import av
import av.audio.resampler
import numpy as np

from edge.detect.audio.log_mel import RATE, Samples16k

Generator = np.random.Generator
CODECS: Final = {
    "aac64": ("aac", "adts", 44_100, 64_000),
    "aac32": ("aac", "adts", 44_100, 32_000),
    "opus16": ("libopus", "ogg", 48_000, 16_000),
    "mp3_32": ("libmp3lame", "mp3", 44_100, 32_000),
}
"""Encoder, container, samples a second, bits a second."""


def _rms(samples: Samples16k) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def loudness(samples: Samples16k) -> float:
    """Root mean square of the loudest quarter of the 100 ms blocks: how loud the event is, not the pause."""
    blocks = len(samples) // (RATE // 10)
    if not blocks:
        return _rms(samples)
    energies = np.square(samples[: blocks * (RATE // 10)], dtype=np.float64).reshape(blocks, -1).mean(1)
    return float(np.sqrt(np.sort(energies)[-max(1, blocks // 4) :].mean()))


def mix(event: Samples16k, background: Samples16k, snr_db: float) -> Samples16k:
    """Adds ``background``, repeated as needed, so that the event is ``snr_db`` louder than it."""
    if not len(background) or not len(event):
        return event
    under = np.resize(background, len(event))
    level = loudness(event) / max(_rms(under), 1e-6) * 10 ** (-snr_db / 20)
    return (event + under * np.float32(level)).astype(np.float32)


def coloured_noise(rng: Generator, count: int, slope: float) -> Samples16k:
    """Noise whose power falls with ``slope``: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (slope / 2)
    noise = np.fft.irfft(spectrum, count)
    return (noise / max(float(np.abs(noise).max()), 1e-9) * 0.5).astype(np.float32)


def band(samples: Samples16k, low_hz: float, high_hz: float) -> Samples16k:
    """Keeps a band, with edges of an octave's sixth."""
    if not len(samples):
        return samples
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    gain = 1 / (1 + (np.maximum(hz, 1e-3) / high_hz) ** 12) / (1 + (low_hz / np.maximum(hz, 1e-3)) ** 12)
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples)).astype(np.float32)


def room(samples: Samples16k, rng: Generator, decay_s: float, wet: float) -> Samples16k:
    """Adds the echoes of a room: noise that falls by 60 dB in ``decay_s``."""
    tail = max(int(decay_s * RATE), 64)
    response = rng.standard_normal(tail) * 10 ** (-3 * np.arange(tail) / tail)
    response /= np.sqrt(np.square(response).sum())
    size = 1 << (len(samples) + tail - 1).bit_length()
    echoes = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)]
    return ((1 - wet) * samples + wet * echoes).astype(np.float32)


def far(samples: Samples16k, rng: Generator) -> Samples16k:
    """As from far away: nothing above 1.5 kHz, a long echo, 20 dB quieter."""
    return np.asarray(0.1 * room(band(samples, 40.0, 1500.0), rng, 1.2, 0.5), np.float32)


def speed(samples: Samples16k, factor: float) -> Samples16k:
    """Plays ``factor`` times as fast, pitch included."""
    count = int(len(samples) / factor)
    if count < 2:
        return samples
    at = np.linspace(0, len(samples) - 1, count)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def clipped(samples: Samples16k, drive: float) -> Samples16k:
    """As by a microphone that is too loud: ``drive`` times the peak is cut off."""
    peak = float(np.abs(samples).max(initial=0.0))
    return np.clip(samples, -peak / drive, peak / drive) if peak else samples


def coded(samples: Samples16k, name: str) -> Samples16k:
    """Encodes and decodes with one of ``CODECS``. Length is kept."""
    codec, container, rate, bits = CODECS[name]
    there = av.audio.resampler.AudioResampler("fltp" if codec != "libopus" else "flt", "mono", rate)
    encoded = io.BytesIO()
    with av.open(encoded, "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = bits
        if codec == "libopus":
            stream.options = {"application": "audio"}
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for resampled in [*there.resample(frame), *there.resample(None)]:
            target.mux(stream.encode(resampled))
        target.mux(stream.encode(None))
    encoded.seek(0)
    decoded = decode(encoded)
    late = _delay(samples, decoded)
    return np.pad(decoded[late:], (0, max(0, len(samples) - len(decoded) + late)))[: len(samples)]


def _delay(samples: Samples16k, decoded: Samples16k, most: int = 2048) -> int:
    """How many samples a codec began late, by correlation."""
    size = 1 << (len(samples) + len(decoded)).bit_length()
    product = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(samples, size))
    return int(np.argmax(np.fft.irfft(product, size)[:most]))


def decode(file: io.BytesIO | str, seconds: float = 60.0) -> Samples16k:
    """Decodes the first ``seconds`` of an audio file. Raises ``av.FFmpegError`` for what is none."""
    parts: list[Samples16k] = []
    count = 0
    with av.open(file, "r", metadata_errors="replace") as container:
        back = av.audio.resampler.AudioResampler("flt", "mono", RATE)
        if not container.streams.audio:
            return np.empty(0, np.float32)
        for frame in container.decode(audio=0):
            for resampled in back.resample(frame):
                parts.append(resampled.to_ndarray()[0])
                count += len(parts[-1])
            if count >= seconds * RATE:
                break
        else:
            parts += [resampled.to_ndarray()[0] for resampled in back.resample(None)]
    whole = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return np.ascontiguousarray(whole[: int(seconds * RATE)], np.float32)


CONDITIONS: Final[dict[str, Callable[[Samples16k, Generator], Samples16k]]] = {
    "clean": lambda samples, rng: samples,
    "noise 10 dB": lambda samples, rng: mix(samples, coloured_noise(rng, len(samples), 1.0), 10.0),
    "AAC 64k": lambda samples, rng: coded(samples, "aac64"),
    "AAC 32k": lambda samples, rng: coded(samples, "aac32"),
    "telephone": lambda samples, rng: band(samples, 300.0, 3400.0),
    "20 dB quieter": lambda samples, rng: np.asarray(0.1 * samples, np.float32),
    "far": far,
}
"""Conditions that the figures are reported by."""


def degraded(samples: Samples16k, rng: Generator) -> Samples16k:
    """One or two of them all, drawn: what training hears in place of clean audio."""
    for kind in rng.choice(["noise", "codec", "band", "room", "far", "clip"], rng.integers(1, 3), False):
        if kind == "noise":
            noise = coloured_noise(rng, len(samples), rng.uniform(0.0, 2.0))
            samples = mix(samples, noise, rng.uniform(3.0, 25.0))
        elif kind == "codec":
            samples = coded(samples, str(rng.choice(list(CODECS))))
        elif kind == "band":
            samples = band(samples, rng.uniform(50.0, 350.0), rng.uniform(2500.0, 7000.0))
        elif kind == "room":
            samples = room(samples, rng, rng.uniform(0.2, 1.5), rng.uniform(0.1, 0.6))
        elif kind == "far":
            samples = band(samples, 40.0, rng.uniform(1200.0, 4000.0))
        else:
            samples = clipped(samples, rng.uniform(1.5, 6.0))
    return np.asarray(samples * np.float32(10 ** (-rng.uniform(0.0, 25.0) / 20)), np.float32)
