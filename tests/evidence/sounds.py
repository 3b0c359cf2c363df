"""Encoded audio for tests: bursts of noise in silence, so that a test can find each again by ear."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from edge.domain import Audio

ENCODERS = {"aac": "aac", "mp3": "libmp3lame", "opus": "libopus"}
RATE = 48_000


def bursts(seconds: float, at_s: Sequence[float], rate: int = RATE) -> npt.NDArray[np.float32]:
    """Shots, as far as an ear of 10 ms can tell: loud noise that dies away within 150 ms."""
    random = np.random.default_rng(5)
    sound = np.zeros(round(seconds * rate), np.float32)
    length = rate // 7
    for at in at_s:
        shot = random.standard_normal(length) * np.exp(-np.arange(length) / (rate * 0.03))
        begin = round(at * rate)
        sound[begin : begin + length] += (0.5 * shot).astype(np.float32)[: len(sound) - begin]
    return np.clip(sound, -1, 1)


def encoded_audio(
    sound: npt.NDArray[np.float32], codec: str = "aac", *, begin_ms: int = 0, a_message: int = 22
) -> list[Audio]:
    """The messages that a caller sends. Times begin at ``begin_ms``."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = RATE, "stereo"
    assert context.codec.audio_formats is not None
    context.format = context.codec.audio_formats[0]
    context.time_base = Fraction(1, RATE)
    context.open()
    resampler = av.AudioResampler(context.format, context.layout, RATE, frame_size=context.frame_size or 960)
    frame = av.AudioFrame.from_ndarray(np.stack([sound, sound]), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    frames: list[Any] = [*resampler.resample(frame), *resampler.resample(None), None]
    units = [
        (begin_ms + round(1000 * packet.pts / RATE), bytes(packet))
        for each in frames
        for packet in context.encode(each)
        if packet.pts is not None
    ]
    extradata = bytes(context.extradata or b"")
    return [
        Audio(codec, extradata, tuple(units[begin : begin + a_message]))
        for begin in range(0, len(units), a_message)
    ]


def heard_at(path: Path) -> list[float]:
    """When audio begins after silence in a file, in seconds of its own time. Empty where it has no audio."""
    levels: dict[int, float] = {}
    with av.open(str(path)) as media:
        if not media.streams.audio:
            return []
        for frame in media.decode(audio=0):
            values = frame.to_ndarray().astype(np.float64)
            values = values.reshape(frame.layout.nb_channels, -1) if frame.format.is_planar else values
            assert frame.time is not None
            for n in range(0, frame.samples, frame.sample_rate // 200):
                part = values[:, n : n + frame.sample_rate // 200]
                key = round((frame.time + n / frame.sample_rate) * 200)
                levels[key] = max(levels.get(key, 0.0), float(np.abs(part).max()))
    loud = sorted(key for key, level in levels.items() if level > 0.15)
    return [key / 200 for before, key in zip([-1000, *loud], loud, strict=False) if key - before > 60]


def write_sounding(
    path: Path, sound: npt.NDArray[np.float32], *, fps: int = 15, brightness: int | None = None
) -> Path:
    """A file with this sound, and calm video of the same length: noise, or grey of one brightness.
    Keyframes are a second apart."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "tune": "zerolatency"})
        audio = out.add_stream("aac", rate=RATE)
        assert isinstance(video, av.VideoStream)
        assert isinstance(audio, av.AudioStream)
        video.width, video.height, video.pix_fmt, video.gop_size = 320, 240, "yuv420p", fps
        still = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
        if brightness is not None:
            still[:] = brightness
        a_picture = RATE // fps
        for number in range(len(sound) // a_picture):
            picture = av.VideoFrame.from_ndarray(still, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            out.mux(video.encode(picture))
            part = sound[number * a_picture : (number + 1) * a_picture]
            heard = av.AudioFrame.from_ndarray(np.stack([part, part]), format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = RATE, number * a_picture, Fraction(1, RATE)
            out.mux(audio.encode(heard))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path
