"""Sounds for training: no group on both sides, windows as the gate cuts them, honest figures."""

from __future__ import annotations

import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.audio.audio_windows import AudioWindows, ListeningRules
from edge.detect.audio.log_mel import RATE
from edge.detect.manifest import Calibration
from models.train.audio import choose, pool
from models.train.audio.choose import Row
from models.train.audio.degrade import CODECS, CONDITIONS, coded, decode, degraded, far, mix, speed
from models.train.audio.index import Learns, Role, Side, Sound, read_sounds
from models.train.audio.measures import Heard, auc, figures, recall, threshold_for
from models.train.audio.patches import RULES, patches
from models.train.audio.scenes import backgrounds, generator, scene
from models.train.audio.synthesis import KINDS, SECONDS, synthesise, synthetic_sounds


def tone(seconds: float = 1.0, hz: float = 440.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def test_what_a_network_is_measured_on_it_never_heard(shared: Path) -> None:
    sounds = read_sounds(shared / "data")
    assert len({one.key for one in sounds}) == len(sounds) == 1196
    for learns in Learns:
        heard = [one for one in sounds if learns.learns(one)]
        measured = [one for one in sounds if learns.measures(one)]
        assert not {one.group for one in heard} & {one.group for one in measured}
        assert {one.label for one in heard} >= {"gunfire", "calm", "game"}
        assert {one.label for one in measured} >= {"gunfire", "calm"}
        if learns is not Learns.SHIP:
            assert not {one.source for one in heard} & {one.source for one in measured}
    validation = {one.group for one in sounds if one.role is Role.VALIDATION}
    for learns in Learns:
        assert not validation & {one.group for one in sounds if learns.learns(one)}


def test_packages_are_listed_once_with_a_role_and_a_side() -> None:
    packages = pool.read_packages()
    assert len({one.name for one in packages}) == len(packages)
    assert {one.label for one in packages} == {"calm", "game"}
    assert {one.role for one in packages} == set(Role)


@settings(max_examples=20)
@given(st.integers(1, 5 * RATE), st.sampled_from([0.0, 0.003, 0.05, 1.0]))
def test_windows_are_those_of_the_gate(count: int, level: float) -> None:
    samples = (np.random.default_rng(count).standard_normal(count) * level).astype(np.float32)
    made = patches(samples)
    gate = AudioWindows(ListeningRules())
    gate.go_on = True
    live = [window.patch for window in gate.add_samples(samples, 0.0, restarted=False)]
    assert len(live) <= len(made)
    for one, other in zip(live, made, strict=False):
        assert one is not None
        np.testing.assert_allclose(one, other, atol=2e-4)


def test_quiet_windows_are_made_louder_as_the_gate_does() -> None:
    loud, quiet = patches(tone()), patches(tone() * np.float32(0.4))
    np.testing.assert_allclose(loud[1], quiet[1], atol=1e-3)
    assert ListeningRules() == RULES


@pytest.mark.parametrize("codec", list(CODECS))
def test_codecs_keep_length_and_time(codec: str) -> None:
    samples = np.zeros(RATE, np.float32)
    samples[8000:8400] = tone(0.025, 900.0)
    heard = coded(samples, codec)
    assert heard.shape == samples.shape
    loudest = int(np.abs(heard).argmax())
    assert 7900 <= loudest <= 8500
    assert not np.array_equal(heard, samples)


@given(st.floats(-10, 30), st.integers(0, 99))
@settings(max_examples=20)
def test_mixing_keeps_the_event_and_its_distance(snr_db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    event, under = tone(), rng.standard_normal(5000).astype(np.float32)
    added = mix(event, under, snr_db) - event
    ratio = 20 * np.log10(np.sqrt(np.mean(event**2)) / np.sqrt(np.mean(added**2)))
    assert ratio == pytest.approx(snr_db, abs=0.2)


def test_far_is_quiet_and_dull() -> None:
    bright, dull = tone(1.0, 5000.0), tone(1.0, 300.0)
    rng = np.random.default_rng(1)
    assert np.abs(far(bright, rng)).max() < 0.01 * np.abs(bright).max()
    assert 0.02 < np.abs(far(dull, rng)).max() < 0.3
    assert len(speed(bright, 1.25)) == RATE / 1.25


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_degraded_audio_is_finite_and_depends_on_the_seed_alone(seed: int) -> None:
    samples = tone(0.7)
    once, again = (degraded(samples, np.random.default_rng(seed)) for _ in range(2))
    assert once.shape == samples.shape
    assert np.isfinite(once).all()
    np.testing.assert_array_equal(once, again)


def test_every_condition_keeps_the_length() -> None:
    for change in CONDITIONS.values():
        assert len(change(tone(), np.random.default_rng(1))) == RATE


def sound(key: str, label: str = "calm", side: Side = Side.FIRST, role: Role = Role.TRAIN) -> Sound:
    return Sound(key, label, "source", key, side, role)


def test_a_scene_is_the_recording_first_and_never_mixes_sides() -> None:
    gun, calm, other = sound("gun", "gunfire"), sound("calm"), sound("other", side=Side.SECOND)
    held = sound("held", role=Role.TEST)
    under = backgrounds([gun, calm, other, held], Side.FIRST)
    assert under == [calm]
    first = scene(gun, 0, under, lambda one: tone())
    assert first.heard is first.clean
    np.testing.assert_array_equal(first.clean, tone())
    loaded: list[str] = []

    def load(one: Sound) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        loaded.append(one.key)
        return tone()

    for number in range(1, 12):
        made = scene(gun, number, under, load)
        assert made.heard.shape == made.clean.shape
        np.testing.assert_array_equal(made.heard, scene(gun, number, under, load).heard)
    assert set(loaded) == {"gun", "calm"}


def test_synthetic_sounds_are_the_same_every_time_and_within_scale() -> None:
    sounds = synthetic_sounds(1)
    assert len(sounds) == len(KINDS)
    for one in sounds:
        made = synthesise(one)
        assert made.shape == (SECONDS * RATE,)
        assert np.isfinite(made).all()
        assert 0.02 < np.abs(made).max() < 8.0
        np.testing.assert_array_equal(made, synthesise(one))
        assert one.role is Role.TRAIN


def test_a_packages_audio_is_found_inside_archives_and_read_back(tmp_path: Path) -> None:

    folder = tmp_path / "packages" / "noises"
    document = folder / "usr/share/doc/noises"
    document.mkdir(parents=True)
    (document / "copyright").write_text("Files: *\nLicense: CC0\n\nLicense: CC0\nLicense: GPL-2+\n")
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes((tone(12.5) * 32767).astype("<i2").tobytes())
    with zipfile.ZipFile(folder / "b.pk3", "w") as archive:
        archive.write(folder / "a.wav", "sounds/in.wav")
    (folder / "broken.ogg").write_bytes(b"none")
    package = pool.Package("noises", "calm", Role.TRAIN, Side.BOTH, 1.0, "tones")
    assert pool.unpack(package, tmp_path / "packages", tmp_path / "pool") == 4
    found = pool.Pool(tmp_path / "pool", [package])
    assert sorted(len(found.load(one)) for one in found.sounds) == [int(2.5 * RATE)] * 2 + [10 * RATE] * 2
    np.testing.assert_allclose(
        found.load(found.sounds[0]), tone(10.0)[: len(found.load(found.sounds[0]))], atol=1e-3
    )
    assert pool.licences(folder) == "CC0, GPL-2+"
    assert len(decode(str(folder / "a.wav"), 2.0)) == 2 * RATE


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_auc_by_brute_force(positives: list[float], negatives: list[float]) -> None:
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    assert auc(np.array(positives), np.array(negatives)) == pytest.approx(np.mean(pairs))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0.0, 30.0), st.floats(0.0, 3.0))
def test_a_threshold_keeps_its_promise_and_is_the_lowest(
    negatives: list[float], hours: float, alarms: float
) -> None:
    scores = np.array(negatives)
    at = threshold_for(scores, hours, alarms)
    assert (scores > at).sum() <= alarms * hours
    lower = scores[scores < at]
    if len(lower):
        assert (scores > lower.max()).sum() > alarms * hours


def test_recall_counts_recordings_over_the_hardest_negatives_allowed() -> None:
    negatives = [Heard(score, False, f"n{score}", "s", 0.5) for score in (0.9, 0.5, 0.1, 0.05)]
    positives = [Heard(score, True, f"p{score}", "s", 0.01) for score in (0.95, 0.6, 0.3, 0.02)]
    assert recall([*negatives, *positives], 0.0) == 0.25
    assert recall([*negatives, *positives], 1.0) == 0.75  # two hours: two false alarms
    found = figures([*negatives, *positives])
    assert found["auc"] == 0.5625
    assert found["negative_hours"] == 2.0


def test_generators_differ_by_name_and_pass() -> None:
    drawn = {float(generator(name, number).random()) for name in "ab" for number in range(3)}
    assert len(drawn) == 6


def rows(*scores: list[float], hours: float = 1.0, positive: bool = False) -> list[Row]:
    return [Row(np.array(each), positive, hours) for each in scores]


@given(
    st.lists(st.lists(st.floats(0, 1), max_size=6), min_size=1, max_size=8),
    st.floats(0.0, 3.0),
)
def test_a_chosen_threshold_keeps_to_its_alarms_an_hour(scores: list[list[float]], an_hour: float) -> None:
    negatives = rows(*scores)
    at = choose.threshold_for(negatives, an_hour)
    assert sum(choose.alarms(row.scores, at) for row in negatives) <= an_hour * len(scores)


def test_alarms_are_counted_as_often_as_scores_rise() -> None:
    assert choose.alarms(np.array([0.9, 0.9, 0.1, 0.7]), 0.5) == 2
    assert choose.alarms(np.array([0.1, 0.5]), 0.5) == 1


def test_a_flag_keeps_its_distance_and_a_witness_has_none() -> None:
    plain = Calibration(slope=1.0, offset=0.0)
    heard = [*rows([0.2, 0.6], [0.5], [0.1], hours=0.4), *rows([0.9], positive=True)]
    alone = choose.thresholds(heard, plain, alone=True)
    assert alone.flag is not None
    assert choose.log_odds(alone.flag) >= choose.log_odds(0.5) + choose.MARGIN
    assert alone.raise_tier <= alone.flag
    assert choose.thresholds(heard, plain, alone=False).flag is None


def test_thresholds_are_chosen_on_recordings_that_no_figure_is_of(shared: Path) -> None:
    sounds = read_sounds(shared / "data")
    for learns in (Learns.FIRST, Learns.SECOND):
        chosen = {one.key for one in sounds if learns.chooses(one)}
        assert chosen
        assert not chosen & {one.key for one in sounds if learns.measures(one) or learns.learns(one)}
