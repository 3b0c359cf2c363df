"""The window is bounded, ordered by media time, and gives one probability a category."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detect import Detector, DetectWindow, SampleScore
from edge.detect.manifest import WindowHead
from edge.detect.window import MAX_SAMPLES, window_logit
from edge.domain import SignalSource, Tier


def sample(detector: Detector, seed: int = 0, size: float = 1.0) -> SampleScore:
    random = np.random.default_rng(seed)
    width = detector.manifest.output.embedding_size
    return SampleScore(
        embedding=(random.normal(size=width) * size).astype(np.float32),
        logits=(random.normal(size=1) * size).astype(np.float32),
        scores=np.array([0.5], dtype=np.float32),
    )


@given(
    times=st.lists(st.integers(-(2**33), 2**33), min_size=1, max_size=30),
    sizes=st.lists(st.floats(0, 1e6), min_size=30, max_size=30),
)
def test_any_times_and_values_give_a_probability(
    detector: Detector, times: list[int], sizes: list[float]
) -> None:
    window = detector.new_window()
    for index, pts_ms in enumerate(times):
        (signal,) = window.add_sample(pts_ms, sample(detector, index, sizes[index]), Tier.ALERT)
        assert signal.source is SignalSource.DETECT
        assert signal.category == "fight"
        assert signal.pts_ms == pts_ms
        assert 0.0 <= signal.score <= 1.0
        assert 1 <= len(window) <= index + 1


@given(steps=st.lists(st.integers(1, 5000), min_size=1, max_size=60))
def test_only_the_last_window_counts(detector: Detector, steps: list[int]) -> None:
    """A long-running window gives the same result as a fresh one with only the samples in its span."""
    times = np.cumsum(steps).tolist()
    window = detector.new_window()
    signals = [window.add_sample(t, sample(detector, i), Tier.ALERT) for i, t in enumerate(times)]
    fresh = detector.new_window()
    recent = [(i, t) for i, t in enumerate(times) if t >= times[-1] - detector.manifest.window_ms]
    for index, pts_ms in recent:
        last = fresh.add_sample(pts_ms, sample(detector, index), Tier.ALERT)
    assert last == signals[-1]


def test_memory_is_bounded_when_time_hardly_moves(detector: Detector) -> None:
    window = detector.new_window()
    for pts_ms in range(MAX_SAMPLES + 50):
        window.add_sample(pts_ms, sample(detector), Tier.CALM)
    assert len(window) <= MAX_SAMPLES


def test_reset_and_time_going_back_forget(detector: Detector) -> None:
    window: DetectWindow = detector.new_window()
    window.add_sample(1000, sample(detector, 1), Tier.ALERT)
    window.reset()
    assert len(window) == 0
    window.add_sample(1000, sample(detector, 1), Tier.ALERT)
    (after,) = window.add_sample(500, sample(detector, 2), Tier.ALERT)
    assert len(window) == 1
    (alone,) = detector.new_window().add_sample(500, sample(detector, 2), Tier.ALERT)
    assert after == alone


def test_each_tier_has_its_judge(detector: Detector) -> None:
    """Calm: the mean of the sample logits and its calibration. Alert: the head and its own calibration."""
    category = detector.manifest.categories[0]
    seen = [sample(detector, seed) for seed in range(5)]
    calm, alert = detector.new_window(), detector.new_window()
    for index, each in enumerate(seen):
        logits = np.concatenate([one.logits for one in seen[: index + 1]])
        embeddings = np.stack([one.embedding for one in seen[: index + 1]])
        (sparse,) = calm.add_sample(200 * index, each, Tier.CALM)
        assert sparse.score == pytest.approx(category.window.calm.probability(float(logits.mean())))
        (dense,) = alert.add_sample(200 * index, each, Tier.ALERT)
        raw = window_logit(category.head, embeddings, logits)
        assert dense.score == category.window.alert.probability(raw)


def test_alert_starts_with_what_came_just_before_it(detector: Detector) -> None:
    window, fresh = detector.new_window(), detector.new_window()
    window.add_sample(0, sample(detector, 1), Tier.CALM)
    window.add_sample(1800, sample(detector, 2), Tier.CALM)
    fresh.add_sample(1800, sample(detector, 2), Tier.ALERT)
    each = sample(detector, 2000)
    assert window.add_sample(2000, each, Tier.ALERT) == fresh.add_sample(2000, each, Tier.ALERT)
    assert len(window) == 2


def test_alert_starts_without_the_calm_tiers_older_samples(detector: Detector) -> None:
    window, fresh = detector.new_window(), detector.new_window()
    window.add_sample(0, sample(detector, 1), Tier.CALM)
    window.add_sample(1000, sample(detector, 2), Tier.CALM)
    for pts_ms in (2000, 2200):
        each = sample(detector, pts_ms)
        assert window.add_sample(pts_ms, each, Tier.ALERT) == fresh.add_sample(pts_ms, each, Tier.ALERT)
    assert len(window) == 2
    window.add_sample(2400, sample(detector, 3), Tier.CALM)
    assert len(window) == 3


def test_window_logit_by_hand() -> None:
    head = WindowHead(mean=(1.0, 2.0), change=(10.0, 0.0), logit_mean=0.5, bias=-1.0)
    embeddings = np.array([[0.0, 1.0], [2.0, 3.0], [1.0, 2.0]], dtype=np.float32)
    logits = np.array([2.0, 4.0, 6.0], dtype=np.float32)
    # mean (1, 2) -> 5; change (1.5, 1.5) -> 15; logit mean 4 -> 2; bias -1
    assert window_logit(head, embeddings, logits) == pytest.approx(21.0)
    assert window_logit(head, embeddings[:1], logits[:1]) == pytest.approx(2.0 + 1.0 - 1.0)
    assert math.isclose(window_logit(WindowHead(bias=0.25), embeddings, logits), 0.25)
