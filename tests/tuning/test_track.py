"""Reduced embeddings give the same scores as full ones, and the cache returns its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detect.window import DetectWindow, SampleScore
from edge.domain import Tier
from edge.policy import Policy, TierPolicy
from edge.tuning.cache import ScoreCache
from edge.tuning.track import TrackBuilder, reduced
from tests.tuning.conftest import manifest, track


@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=1, max_size=30))
def test_reduced_windows_score_alike(seed: int, alert: list[bool]) -> None:
    random = np.random.default_rng(seed)
    full = manifest(
        mean=random.normal(size=4).tolist(), change=random.normal(size=4).tolist(), bias=0.3, logit_mean=0.5
    )
    builder = TrackBuilder(full)
    samples = [
        SampleScore(
            random.normal(size=4).astype(np.float32),
            random.normal(size=1).astype(np.float32),
            np.zeros(1, np.float32),
        )
        for _ in alert
    ]
    for index, sample in enumerate(samples):
        builder.add_alert(1000 + index * 200, sample)
    made = builder.build(1000, 5000)
    assert made.alert_ms.tolist() == [index * 200 for index in range(len(alert))]
    real, small = DetectWindow(full), DetectWindow(reduced(full))
    for index, dense in enumerate(alert):
        tier = Tier.ALERT if dense else Tier.CALM
        stands_for = SampleScore(made.alert_reduced[index], made.alert_logits[index], np.zeros(0, np.float32))
        wanted = real.add_sample(index * 200, samples[index], tier)
        got = small.add_sample(index * 200, stands_for, tier)
        assert got[0].score == pytest.approx(wanted[0].score, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_calm_sample_counts_before_the_alert_one_that_follows(seed: int, late: bool) -> None:
    """Whether it is added before or after the alert samples."""
    random = np.random.default_rng(seed)
    full = manifest(mean=random.normal(size=4).tolist(), change=random.normal(size=4).tolist())
    before, calm, after, last = (
        SampleScore(
            random.normal(size=4).astype(np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32)
        )
        for _ in range(4)
    )
    builder = TrackBuilder(full)
    builder.add_alert(0, before)
    if not late:
        builder.add_calm(1000, calm)
    builder.add_alert(1100, after)
    builder.add_alert(1300, last)
    if late:
        builder.add_calm(1000, calm)
    made = builder.build(0, 2000)
    rows = [made.calm_reduced[0], made.alert_reduced[1], made.alert_reduced[2]]
    nothing = np.zeros(1, np.float32)
    real, small = DetectWindow(full), DetectWindow(reduced(full))
    for pts, sample, row in zip((1000, 1100, 1300), (calm, after, last), rows, strict=True):
        stands_for = SampleScore(row, nothing, nothing)
        wanted, got = real.add_sample(pts, sample, Tier.ALERT), small.add_sample(pts, stands_for, Tier.ALERT)
        assert got[0].score == pytest.approx(wanted[0].score, abs=1e-5)


def test_the_cache_keeps_tracks_and_reports(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    cache = ScoreCache(tmp_path / "cache", "digest", Policy())
    key = cache.key(video)
    assert cache.load(key) is None
    cache.store(key, track([0.1, 0.9, 0.4], jumps=[200]))
    kept = cache.load(key)
    assert kept is not None
    assert (kept.duration_ms, kept.jumps_ms.tolist()) == (600, [200])
    assert kept.alert_logits.tolist() == track([0.1, 0.9, 0.4]).alert_logits.tolist()
    cache.store_report(key, {"samples": 3})
    assert cache.load_report(key) == {"samples": 3}
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_damaged_entry_is_as_good_as_none(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, "digest", Policy())
    cache.store("ab", track([0.1, 0.2]))
    cache.store_report("ab", {})
    for path in (tmp_path / "ab").iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    assert cache.load("ab") is None
    assert cache.load_report("ab") is None


def test_the_key_names_all_that_scores_depend_on(tmp_path: Path) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    denser = Policy(tiers=TierPolicy(alert_interval_ms=100))
    keys = {
        ScoreCache(tmp_path, "m", Policy()).key(first),
        ScoreCache(tmp_path, "m", Policy()).key(second),
        ScoreCache(tmp_path, "n", Policy()).key(first),
        ScoreCache(tmp_path, "m", denser).key(first),
        ScoreCache(tmp_path, "m", Policy()).key(first, "policy"),
    }
    assert len(keys) == 5
    raised = Policy(tiers=TierPolicy(alert_hold_ms=1))
    assert ScoreCache(tmp_path, "m", raised).key(first) in keys  # It does not change the sampling.
