"""Sounds that are easily taken for gunfire and are none, made by rule: they fill what no package holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from edge.detect.audio.log_mel import RATE, Samples16k
from models.train.audio.degrade import Generator, band, clipped, coloured_noise, room
from models.train.audio.index import Role, Side, Sound
from models.train.audio.scenes import generator

SECONDS: Final = 6
SOURCE: Final = "synthetic"


def _burst(rng: Generator, attack_s: float, decay_s: float, low: float, high: float) -> Samples16k:
    count = int((attack_s + 6 * decay_s) * RATE)
    at = np.arange(count) / RATE
    shape = np.minimum(at / attack_s, 1.0) * np.exp(-np.maximum(at - attack_s, 0) / decay_s)
    return band(np.asarray(coloured_noise(rng, count, 0.0) * shape, np.float32), low, high)


def _placed(rng: Generator, times: list[float], one: Callable[[], Samples16k]) -> Samples16k:
    out = np.zeros(SECONDS * RATE, np.float32)
    for time in times:
        at = int(time * RATE)
        part = one()[: len(out) - at] if at < len(out) else np.empty(0, np.float32)
        out[at : at + len(part)] += part * np.float32(rng.uniform(0.6, 1.0))
    return out


def _regular(rng: Generator, rate_hz: float, jitter: float) -> list[float]:
    steps = rng.normal(1 / rate_hz, jitter / rate_hz, int(SECONDS * rate_hz) + 1)
    return [float(time) for time in np.cumsum(np.maximum(steps, 0.2 / rate_hz)) if time < SECONDS - 0.05]


def engine(rng: Generator) -> Samples16k:
    """Firing cylinders: harmonics of a slowly wandering pitch over rumble."""
    count = SECONDS * RATE
    hz = rng.uniform(12, 90) * (
        1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.05, 0.6) * np.arange(count) / RATE)
    )
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    tone = sum(np.sin(phase * k + rng.uniform(0, 6)) / k**0.7 for k in range(1, 25))
    return np.asarray(0.1 * tone + 0.4 * coloured_noise(rng, count, 1.5), np.float32)


def jackhammer(rng: Generator) -> Samples16k:
    """Blows at 8 to 28 a second, each metal on stone, under compressor noise."""
    low = rng.uniform(200, 900)
    blows = _placed(
        rng,
        _regular(rng, rng.uniform(8, 28), 0.02),
        lambda: _burst(rng, 0.001, rng.uniform(0.006, 0.02), low, rng.uniform(3000, 7000)),
    )
    return blows + np.float32(rng.uniform(0.02, 0.15)) * coloured_noise(rng, len(blows), 0.5)


def clapping(rng: Generator) -> Samples16k:
    """One pair of hands or many."""
    hands = int(rng.choice([1, 1, 4, 30]))
    times = [time for _ in range(hands) for time in _regular(rng, rng.uniform(2, 5), 0.1)]
    low = rng.uniform(500, 1200)
    return _placed(
        rng, times, lambda: _burst(rng, 0.001, rng.uniform(0.004, 0.012), low, 3500.0)
    ) / np.float32(hands**0.4)


def doors(rng: Generator) -> Samples16k:
    """Slams: a low body, a click before, a room after."""
    times = [float(time) for time in rng.uniform(0.2, SECONDS - 1, rng.integers(1, 4))]

    def slam() -> Samples16k:
        body = _burst(rng, 0.004, rng.uniform(0.03, 0.09), 40.0, rng.uniform(300, 1500))
        click = 0.4 * _burst(rng, 0.0005, 0.004, 800.0, 6000.0)
        body[: len(click)] += click[: len(body)]
        return body

    return room(_placed(rng, times, slam), rng, rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.4))


def hammering(rng: Generator) -> Samples16k:
    """Strokes that ring."""
    tones = rng.uniform(400, 4000, 4)

    def stroke() -> Samples16k:
        at = np.arange(int(0.25 * RATE)) / RATE
        ring = sum(np.sin(2 * np.pi * hz * at) for hz in tones) * np.exp(-at / rng.uniform(0.01, 0.06))
        hit = _burst(rng, 0.0005, 0.006, 300.0, 7000.0)
        ring[: len(hit)] += 3 * hit[: len(ring)]
        return np.asarray(0.15 * ring, np.float32)

    return _placed(rng, _regular(rng, rng.uniform(1, 4), 0.15), stroke)


def drilling(rng: Generator) -> Samples16k:
    """A motor's whine with percussion under it."""
    count = SECONDS * RATE
    at = np.arange(count) / RATE
    whine = np.sign(np.sin(2 * np.pi * rng.uniform(150, 900) * at * (1 + 0.03 * np.sin(at))))
    hits = _placed(
        rng, _regular(rng, rng.uniform(30, 70), 0.02), lambda: _burst(rng, 0.001, 0.004, 500.0, 7000.0)
    )
    return np.asarray(
        0.12 * whine + rng.uniform(0, 1) * hits + 0.2 * coloured_noise(rng, count, 0.3), np.float32
    )


def wind(rng: Generator) -> Samples16k:
    """Gusts into a microphone."""
    count = SECONDS * RATE
    gusts = np.abs(np.interp(np.arange(count), np.linspace(0, count, 30), rng.standard_normal(30)))
    noise = band(coloured_noise(rng, count, 2.0), 20.0, 900.0) * gusts * rng.uniform(1, 5)
    return np.asarray(np.clip(noise, -0.9, 0.9), np.float32)


def crackle(rng: Generator) -> Samples16k:
    """A bad plug, a scratched record, rain on foil: clicks without a body."""
    times = [float(time) for time in rng.uniform(0, SECONDS - 0.1, rng.integers(5, 300))]
    return _placed(rng, times, lambda: _burst(rng, 0.0003, rng.uniform(0.0005, 0.003), 200.0, 7500.0))


def glitches(rng: Generator) -> Samples16k:
    """A codec that lost packets: silence, repeats and clipped pieces of tonal audio."""
    at = np.arange(SECONDS * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * hz * at) for hz in rng.uniform(100, 2500, 5))
    sound = np.asarray(0.15 * tones + 0.1 * coloured_noise(rng, len(at), 1.0), np.float32)
    for start in rng.integers(0, len(sound) - 3200, rng.integers(3, 25)):
        size = int(rng.integers(160, 1600))
        piece = sound[start : start + size]
        sound[start : start + size] = 0 if rng.random() < 0.4 else clipped(piece * 6, 3.0)
    return np.clip(sound, -1, 1)


def whistling_fireworks(rng: Generator) -> Samples16k:
    """Rockets: a rising whistle, a burst, crackle after it."""
    out = 0.4 * crackle(rng)
    for _ in range(int(rng.integers(1, 4))):
        start = float(rng.uniform(0, SECONDS - 3))
        at = np.arange(int(rng.uniform(0.5, 1.5) * RATE)) / RATE
        whistle = 0.2 * np.sin(2 * np.pi * (rng.uniform(800, 2000) * at + rng.uniform(200, 900) * at**2))
        burst = _burst(rng, 0.002, rng.uniform(0.05, 0.2), 30.0, rng.uniform(500, 3000))
        for offset, part in ((0, whistle), (len(at), burst)):
            begin = int(start * RATE) + offset
            fits = part[: max(0, len(out) - begin)]
            out[begin : begin + len(fits)] += fits.astype(np.float32)
    return room(out, rng, rng.uniform(0.5, 2.0), rng.uniform(0.2, 0.6))


KINDS: Final[dict[str, Callable[[Generator], Samples16k]]] = {
    "engine": engine,
    "jackhammer": jackhammer,
    "clapping": clapping,
    "doors": doors,
    "hammering": hammering,
    "drilling": drilling,
    "wind": wind,
    "crackle": crackle,
    "glitches": glitches,
    "fireworks": whistling_fireworks,
}


def synthetic_sounds(each: int) -> list[Sound]:
    """``each`` recordings of every kind, for training alone."""
    return [
        Sound(
            f"{SOURCE}/{kind}/{number}",
            "fireworks" if kind == "fireworks" else "calm",
            SOURCE if kind != "fireworks" else f"{SOURCE} fireworks",
            f"{SOURCE} {kind}",
            Side.BOTH,
            Role.TRAIN,
        )
        for kind in KINDS
        for number in range(each)
    ]


def synthesise(sound: Sound) -> Samples16k:
    """The samples of a recording of ``synthetic_sounds``: six seconds, the same every time."""
    return KINDS[sound.key.split("/")[1]](generator(sound.key, 0))
