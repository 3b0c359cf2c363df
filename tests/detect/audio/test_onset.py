"""Sudden audio passes the gate; silence, steady audio and slow changes do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.audio.log_mel import RATE
from edge.detect.audio.onset import STEP, OnsetGate

Samples = npt.NDArray[np.float32]


def noise(seconds: float, level_db: float, seed: int = 0) -> Samples:
    count = round(seconds * RATE) // STEP * STEP
    samples = np.random.default_rng(seed).standard_normal(count)
    return (samples * 10 ** (level_db / 20)).astype(np.float32)


def gate(rise_db: float = 6, floor_db: float = -50) -> OnsetGate:
    return OnsetGate(rise_db, floor_db)


def settled(*sounds: Samples) -> int:
    """Onsets after the first 300 ms, in which there is no background yet."""
    return int(gate(10).onsets(np.concatenate(sounds))[30:].sum())


def test_silence_and_steady_audio_do_not_pass() -> None:
    assert not gate().onsets(np.zeros(RATE, np.float32)).any()
    assert settled(noise(3, -20)) == 0
    hum = (0.3 * np.sin(2 * np.pi * 100 * np.arange(3 * RATE) / RATE)).astype(np.float32)
    assert settled(hum) == 0


def test_audio_that_swells_slowly_does_not_pass() -> None:
    ramp = 10 ** (np.linspace(-40, 0, 10 * RATE) / 20)
    assert settled((noise(10, -10) * ramp).astype(np.float32)) == 0


@pytest.mark.parametrize("background_db", [-100, -60, -30])
def test_a_burst_passes_when_it_begins(background_db: float) -> None:
    sound = noise(2, background_db)
    sound[RATE : RATE + 800] += noise(0.05, -12, 1)
    found = np.flatnonzero(gate().onsets(sound)[30:]) + 30
    assert found[0] == RATE // STEP
    assert found[-1] < RATE // STEP + 10


def test_what_is_quieter_than_the_floor_does_not_pass() -> None:
    sound = noise(2, -100)
    sound[RATE : RATE + 800] += noise(0.05, -60, 1)
    assert not gate(floor_db=-50).onsets(sound).any()
    assert gate(floor_db=-70).onsets(sound).any()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 5))
def test_pieces_give_what_the_whole_gives(pieces: list[int], seed: int) -> None:
    sound = noise(sum(pieces) * STEP / RATE, -30, seed)
    sound *= np.repeat(np.random.default_rng(seed).choice([0.01, 1], len(sound) // STEP), STEP).astype(
        np.float32
    )
    one, parts, at = gate(), [], 0
    whole = gate().onsets(sound)
    for count in pieces:
        parts.append(one.onsets(sound[at : at + count * STEP]))
        at += count * STEP
    assert np.array_equal(np.concatenate(parts), whole)
