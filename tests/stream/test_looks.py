"""Looks in mid-GOP: what a publisher hides without seeing our draws is found in time, at a bounded cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.policy import LookPolicy, Policy
from edge.stream import explain_looks
from edge.stream.draws import Draws
from edge.stream.look_budget import LookBudget, Risk, RiskFactors, interval_ms, risk_of
from edge.stream.look_model import FRAME_MS as INTER
from edge.stream.look_model import JUDGE_MS as SAMPLE
from edge.stream.look_model import KEYFRAME_MS as KEYFRAME
from edge.stream.look_model import REST_MS
from tests.stream.hidden_footage import TRUSTED, Shown, Watched

NO_LOOKS = LookPolicy(low_ms=0, raised_ms=0, high_ms=0)


def times_to_cut_s(streams: int, fps: float, gop: int, shown: Shown, **watched: Any) -> list[float]:
    """Times to cut of as many streams, in order. 120 s where a stream is not cut."""
    cuts = (
        Watched(seed=b"%d" % number, **watched).cut_ms(fps, gop, shown, 120_000) for number in range(streams)
    )
    return sorted(120.0 if cut is None else cut / 1000 for cut in cuts)


def late_half(gop_ms: int) -> Shown:
    """The second half of each GOP: as far from the keyframe as half of the time can be."""
    return lambda number, pts_ms: pts_ms % gop_ms >= gop_ms / 2


def some_gops(chosen: Callable[[int], bool], after_ms: int) -> Shown:
    """Some GOPs of 2 s, but not what the burst at the keyframe shows."""
    return lambda number, pts_ms: pts_ms % 2000 >= after_ms and chosen(pts_ms // 2000)


PATTERNS: dict[str, tuple[float, int, Shown]] = {
    "late half": (30, 60, late_half(2000)),
    "0.5 to 1.9 s": (30, 60, lambda n, t: 500 <= t % 2000 < 1900),
    "GOPs of 1 s": (30, 30, late_half(1000)),
    "GOPs of 0.5 s": (30, 15, late_half(500)),
    "five of nine GOPs": (30, 60, some_gops(lambda g: g * 5 % 9 < 5, 240)),
    "five of seven GOPs, late": (30, 60, some_gops(lambda g: g * 3 % 7 < 5, 600)),
    "20 s of 40": (30, 60, lambda n, t: t // 20_000 % 2 == 0 and t % 2000 >= 240),
    "two of three frames": (30, 60, lambda n, t: n % 3 > 0),
    "every other frame": (30, 60, lambda n, t: n % 2 > 0),
    "10 fps": (10, 20, late_half(2000)),
    "60 fps": (60, 120, late_half(2000)),
    "long GOPs": (30, 300, lambda n, t: t % 1250 >= 600),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_half_of_the_time_is_found_on_a_full_worker(name: str) -> None:
    """Goals: 20 s at the median, 60 s at the 99th percentile. No spare time, a trusted broadcaster."""
    times = times_to_cut_s(50, *PATTERNS[name])
    assert times[24] <= 20
    assert times[-2] <= 60
    assert sum(time >= 120 for time in times) == 0


@pytest.mark.parametrize("name", ["late half", "0.5 to 1.9 s", "five of nine GOPs"])
@pytest.mark.parametrize(
    "watched",
    [{"factors": RiskFactors(), "old": False}, {"spare_ms": 1800}],
    ids=["new broadcaster", "a worker with five streams"],
)
def test_it_is_found_within_ten_seconds_where_more_is_looked_at(name: str, watched: dict[str, Any]) -> None:
    times = times_to_cut_s(50, *PATTERNS[name], **watched)
    assert times[24] <= 6
    assert sum(time <= 10 for time in times) >= 40
    assert times[-2] <= 20


def test_without_looks_it_is_never_found() -> None:
    fps, gop, shown = PATTERNS["late half"]
    assert times_to_cut_s(5, fps, gop, shown, looks=NO_LOOKS) == [120.0] * 5


@settings(deadline=None, max_examples=12, derandomize=True)
@given(
    fps=st.sampled_from([10, 15, 24, 25, 30, 50]),
    gop_s=st.sampled_from([0.5, 1, 1.5, 2, 2.4]),
    pieces=st.lists(st.tuples(st.integers(100, 8000), st.integers(100, 8000)), min_size=1, max_size=6),
    phase_ms=st.integers(0, 10_000),
)
def test_any_pattern_of_half_the_time_is_found(
    fps: int, gop_s: float, pieces: list[tuple[int, int]], phase_ms: int
) -> None:
    """Footage comes and goes in a rhythm of its own. Where less than half is shown, off times shrink."""
    on_ms, off_ms = sum(on for on, _ in pieces), sum(off for _, off in pieces)
    scale = min(1.0, on_ms / off_ms)
    edges, total = [], 0.0
    for on, off in pieces:
        edges.append((total, total + on))
        total += on + off * scale

    def shown(number: int, pts_ms: int) -> bool:
        at = (pts_ms + phase_ms) % total
        return any(begin <= at < end for begin, end in edges)

    times = times_to_cut_s(24, fps, round(fps * gop_s), shown)
    assert times[11] <= 20
    assert times[-2] <= 60


def cost_ms(watched: Watched, seconds: int) -> float:
    """CPU of a calm stream in the model's costs."""
    watched_ms = watched.keyframes * KEYFRAME + watched.inter * INTER + watched.samples * SAMPLE
    return watched_ms + seconds * REST_MS


@pytest.mark.parametrize(("fps", "gop"), [(30, 60), (25, 25), (30, 45), (60, 120), (30, 300), (30, 1)])
def test_looks_cost_calm_streams_a_bounded_share(fps: float, gop: int) -> None:
    def cost(looks: LookPolicy) -> float:
        watched = Watched(seed=b"cost", looks=looks)
        watched.cut_ms(fps, gop, lambda number, pts_ms: False, 600_000)
        return cost_ms(watched, 600)

    # Each frame of 60 a second counts here as one of 30, and costs less.
    assert cost(LookPolicy()) <= (1.4 if fps > 50 else 1.25) * cost(NO_LOOKS)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.binary(min_size=1, max_size=8),
    steps=st.lists(st.integers(1, 100), min_size=200, max_size=400),
    interval=st.integers(1000, 5000),
)
def test_each_stretch_of_skipped_media_has_one_look(seed: bytes, steps: list[int], interval: int) -> None:
    budget = LookBudget(Draws(seed), interval)
    passed, looks = 0, list[int]()
    for step in steps:
        budget.skipped(step)
        passed += step
        if budget.remaining_ms == 0:
            budget.looked()
            looks.append(passed)
    for stretch in range(passed // interval):
        begin, end = stretch * interval, (stretch + 1) * interval + 100
        assert sum(begin <= look < end for look in looks) >= 1
    assert len(looks) <= passed // interval + 1


@given(st.lists(st.integers(0, 10**12), max_size=20), st.integers(0, 5000))
def test_no_stamp_buys_more_than_a_step(steps: list[int], interval: int) -> None:
    budget = LookBudget(Draws(b"s"), interval)
    for step in steps:
        budget.skipped(step)
        if budget.remaining_ms == 0:
            budget.looked()
        assert (budget.remaining_ms is None) == (interval == 0)
        assert budget.remaining_ms is None or 0 <= budget.remaining_ms <= 2 * interval


def test_risk_rises_with_what_is_unknown_and_falls_with_a_clean_record() -> None:
    looks, hour_ms = LookPolicy(), 3_600_000

    def risk(factors: RiskFactors, age_ms: int, *, hides: bool = False, near: bool = False) -> Risk:
        return risk_of(looks, factors, age_ms, hides=hides, near=near)

    assert risk(RiskFactors(), 0) is Risk.HIGH
    assert risk(RiskFactors(), looks.new_ms) is Risk.LOW
    assert risk(TRUSTED, 0) is Risk.RAISED
    assert risk(TRUSTED, looks.new_ms) is Risk.LOW
    assert risk(TRUSTED, hour_ms, near=True) is Risk.HIGH
    assert risk(TRUSTED, hour_ms, hides=True) is Risk.LOW
    assert risk(RiskFactors(), hour_ms, hides=True) is Risk.RAISED
    assert risk(RiskFactors(clean_ms=TRUSTED.clean_ms, struck=True), hour_ms) is Risk.RAISED
    assert risk(RiskFactors(clean_ms=TRUSTED.clean_ms, viewers=5000), hour_ms) is Risk.RAISED
    crisis = LookPolicy(crisis=True)
    assert risk_of(crisis, TRUSTED, hour_ms, hides=False, near=False) is Risk.HIGH
    assert [interval_ms(looks, each) for each in Risk] == [9000, 5000, 2000]


@pytest.mark.parametrize("gop_ms", [1000, 2000])
def test_the_model_says_what_a_simulation_shows(gop_ms: int) -> None:
    """The late half of each GOP is as hard as half of the time gets."""
    low = explain_looks(Policy(), gop_ms=gop_ms)[Risk.LOW]
    assert low.every_s is not None
    (half, quarter) = low.found
    times = times_to_cut_s(200, 30, gop_ms * 30 // 1000, late_half(gop_ms))
    assert abs(times[99] - half.p50_s) <= 0.35 * half.p50_s
    assert abs(times[189] - half.p95_s) <= 0.35 * half.p95_s
    assert half.p50_s < quarter.p50_s < quarter.p99_s
    watched, plain = Watched(seed=b"cost"), Watched(seed=b"cost", looks=NO_LOOKS)
    for each in (watched, plain):
        each.cut_ms(30, gop_ms * 30 // 1000, lambda number, pts_ms: False, 600_000)

    assert abs(cost_ms(watched, 600) / cost_ms(plain, 600) - 1 - low.cost) < 0.06


def test_the_default_keeps_its_promise() -> None:
    low, _, high = explain_looks(Policy())
    assert low.found[0].p50_s <= 20
    assert low.found[0].p99_s <= 60
    assert low.cost <= 0.26
    assert high.found[0].p50_s <= 10


def test_without_looks_nothing_is_promised() -> None:
    for policy, gop_ms in ((Policy(looks=NO_LOOKS), 2000), (Policy(), 5000)):
        assert all(not each.found and each.every_s is None for each in explain_looks(policy, gop_ms=gop_ms))
