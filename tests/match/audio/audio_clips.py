"""Synthetic audio: notes and noise bursts chosen by a seed."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from edge.match.audio.audio_fingerprint import AudioFingerprinter
from edge.match.audio.chromaprint import RATE, Chromaprint, Items

Samples = npt.NDArray[np.int16]


def melody(seed: int, seconds: float) -> Samples:
    """Chords and drum hits, int16 at 11,025 samples a second."""
    r = np.random.default_rng(seed)
    x = np.zeros(int(RATE * seconds))
    t = 0.0
    while t < seconds - 0.1:
        length = float(r.choice([0.125, 0.25, 0.25, 0.5]))
        n = int(RATE * (length + 0.3))
        at = np.arange(n) / RATE
        for _ in range(r.integers(1, 4)):
            note = 220 * 2 ** (int(r.integers(0, 24)) / 12)
            tone = sum(np.sin(2 * np.pi * note * k * at) / k for k in range(1, 6)) * np.exp(-3 * at)
            start = int(t * RATE)
            x[start : start + n] += tone[: len(x) - start] * r.uniform(0.3, 1)
        t += length
    return np.asarray(x / np.abs(x).max() * 20_000, np.int16)


def items_of(samples: Samples) -> Items:
    return Chromaprint().feed(samples)


def heard_items(samples: Samples) -> Items:
    """The audio as banks and the live path decode it."""
    hearing = AudioFingerprinter()
    parts = []
    for start in range(0, len(samples), 1024):
        piece = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="s16", layout="mono")
        piece.sample_rate = RATE
        parts.append(hearing.add_frame(piece, 1000 * start / RATE).items)
    return np.concatenate([*parts, hearing.finish().items])


def write_clip(
    path: Path,
    samples: Samples | None,
    *,
    seed: int = 0,
    seconds: float = 12.0,
    picture: bool = True,
    codec: str = "aac",
) -> Path:
    """A clip with audio, of blocks that a seed chooses and moves."""
    packets: list[av.Packet[Any]] = []
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "g": "10"}
        video = out.add_stream("libx264", rate=10, options=options) if picture else None
        sound = (
            out.add_stream(codec, rate=48_000 if codec == "libopus" else 44_100)
            if samples is not None
            else None
        )
        if video is not None:
            assert isinstance(video, VideoStream)
            packets += _picture(video, seed, int(seconds * 10))
        if sound is not None and samples is not None:
            assert isinstance(sound, AudioStream)
            packets += _sound(sound, samples)
        for packet in sorted(packets, key=_begins):
            out.mux(packet)
    return path


def _begins(packet: av.Packet[Any]) -> Fraction:
    return (packet.dts or 0) * (packet.time_base or Fraction(1))


def _picture(video: VideoStream, seed: int, frames: int) -> Iterator[av.Packet[Any]]:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8), np.uint8)
    picture = np.kron(blocks, np.ones((40, 40), np.uint8))
    video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
    for number in range(frames):
        gray = np.ascontiguousarray(np.roll(picture, 3 * number, axis=1))
        frame = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 10)
        yield from video.encode(frame)
    yield from video.encode(None)


def _sound(sound: AudioStream, samples: Samples) -> Iterator[av.Packet[Any]]:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = RATE
    context = sound.codec_context
    resampler = av.AudioResampler(
        format=context.format,
        layout=context.layout,
        rate=context.sample_rate,
        frame_size=context.frame_size or 1024,
    )
    for each in (*resampler.resample(frame), *resampler.resample(None)):
        yield from sound.encode(each)
    yield from sound.encode(None)
