"""What training hears of a recording: as it is, and in other rooms, under other audio, through codecs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.detect.audio.log_mel import Samples16k
from models.train.audio.degrade import Generator, degraded, mix, speed
from models.train.audio.index import Role, Side, Sound

Load = Callable[[Sound], Samples16k]


@dataclass(frozen=True, slots=True)
class Scene:
    """``clean`` is what the teacher judges, ``heard`` what the student hears. Both have one length."""

    clean: Samples16k
    heard: Samples16k


def backgrounds(sounds: Sequence[Sound], side: Side) -> list[Sound]:
    """Calm recordings that may lie under those of ``side``."""
    fits = (side, Side.BOTH)
    return [one for one in sounds if one.label == "calm" and one.role is Role.TRAIN and one.side in fits]


def generator(name: str, number: int) -> Generator:
    """Random numbers that depend on a recording and a pass alone."""
    return np.random.default_rng(list(hashlib.sha256(f"{name}\0{number}".encode()).digest()))


def scene(sound: Sound, number: int, under: Sequence[Sound], load: Load) -> Scene:
    """Makes pass ``number`` of a recording. Pass 0 is the recording itself."""
    samples = load(sound)
    if number == 0:
        return Scene(samples, samples)
    rng = generator(sound.key, number)
    samples = speed(samples, rng.uniform(0.8, 1.2))
    if under and rng.random() < 0.6:
        snr = rng.uniform(-10.0, 10.0) if sound.label == "calm" else rng.uniform(0.0, 25.0)
        samples = mix(samples, load(under[int(rng.integers(len(under)))]), snr)
    return Scene(samples, degraded(samples, rng) if rng.random() < 0.8 else samples)
