"""Which units are decoded and which frames are sampled, on simulated streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import Tier
from edge.policy import TierPolicy
from edge.stream.draws import Draws
from edge.stream.sampling import (
    ALERT_FRAMES,
    BLIND_UNITS,
    BURST_UNITS,
    CATCH_UP_UNITS,
    Disposition,
    Sampler,
)

DELTA_MS = 100
TIERS = TierPolicy()


@dataclass
class Simulated:
    """A sampler with a decoder that returns frames ``delay`` units late, in display order."""

    tiers: TierPolicy = TIERS
    delay: int = 0
    drains: bool = False
    """Whether the decoder is flushed at the end of each burst."""
    sampler: Sampler = field(init=False)
    decoded: list[int] = field(default_factory=list)
    """pts of decoded units, in decoding order."""
    work: list[int] = field(default_factory=list)
    """Number of units decoded at the arrival of each unit."""
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    arrived_at: list[int] = field(default_factory=list)
    """pts of the unit whose arrival completed each sample."""
    frames: list[int] = field(default_factory=list)
    restarts: int = 0
    seed: bytes | None = None

    def __post_init__(self) -> None:
        draws = None if self.seed is None else Draws(self.seed)
        self.sampler = Sampler(self.tiers, DELTA_MS, draws)
        self._backlog: list[int] = []
        self._held: list[int] = []
        self._kept: set[int] = set()
        self._previous: int | None = None
        self._burst: list[int] = []

    def unit(self, pts_ms: int, keyframe: bool, tier: Tier) -> None:
        plan = self.sampler.unit(pts_ms, keyframe, tier)
        feed: list[int] = []
        match plan.feed:
            case Disposition.DROP:
                pass
            case Disposition.SKIP:
                self._backlog = [pts_ms] if keyframe else [*self._backlog, pts_ms]
                self._previous = None
            case Disposition.CATCH_UP:
                self._backlog.append(pts_ms)
                feed, self._backlog = self._backlog[: plan.backlog], self._backlog[plan.backlog :]
                assert len(feed) == plan.backlog
            case Disposition.RESTART:
                self.restarts += 1
                self._held.clear()
                self._backlog, feed = [], [pts_ms]
            case Disposition.DECODE:
                assert not self._backlog, "decodes over a gap"
                feed = [pts_ms]
        self.work.append(len(feed))
        self.decoded += feed
        for fed in feed:
            self._held = sorted([*self._held, fed])
            while len(self._held) > self.delay:
                self._frame(self._held.pop(0), pts_ms)
        count = self.sampler.burst_units
        self._burst = [*(self._burst if count > 1 else []), pts_ms]
        if self.drains and count and self.sampler.burst_is_fed:
            assert len(self._burst) == count
            while self._held:
                self._frame(self._held.pop(0), pts_ms)
            self.sampler.drained(count)
            self._backlog, self._previous = self._burst, None
            assert self.samples[-1][2] in self._burst, "drained for nothing"

    def _frame(self, pts_ms: int, now_ms: int) -> None:
        taps = self.sampler.frame(pts_ms)
        self.frames.append(pts_ms)
        if taps.keep_previous:
            assert self._previous is not None, "asks for a frame that is gone"
            self._kept.add(self._previous)
        if taps.keep:
            self._kept.add(pts_ms)
        self._previous = pts_ms
        if taps.sample is not None:
            assert set(taps.sample) <= self._kept, "a sample of frames that were not kept"
            assert taps.sample[0] < taps.sample[1] < taps.sample[2]
            self.samples.append(taps.sample)
            self.arrived_at.append(now_ms)
            oldest = self.sampler.oldest_kept_ms
            self._kept = {k for k in self._kept if oldest is not None and k >= oldest}

    def stream(
        self, duration_ms: int, fps: float, gop: int, tier: Tier = Tier.CALM, start: int = 0
    ) -> Simulated:
        index = start
        while round(index * 1000 / fps) < duration_ms:
            self.unit(round(index * 1000 / fps), index % gop == 0, tier)
            index += 1
        return self


def test_nothing_is_decoded_before_a_keyframe() -> None:
    simulated = Simulated()
    simulated.unit(0, False, Tier.ALERT)
    simulated.unit(33, False, Tier.CALM)
    assert simulated.decoded == []


@pytest.mark.parametrize(
    ("fps", "sample", "units"),
    [
        (30, (0, 100, 200), 7),
        (25, (0, 80, 200), 6),
        (24, (0, 83, 208), 6),
        (60, (0, 100, 200), 13),
        (120, (0, 100, 200), 25),
        (15, (0, 67, 200), 4),
        (10, (0, 100, 200), 3),
        (5, (0, 200, 400), 3),
        (1, (0, 1000, 2000), 3),
    ],
)
def test_calm_burst_decodes_what_one_sample_needs(fps: int, sample: tuple[int, int, int], units: int) -> None:
    simulated = Simulated().stream(3000, fps, 3 * fps if fps > 1 else 3)
    first = simulated.samples[0]
    assert all(abs(a - b) <= 500 / fps for a, b in zip(first, sample, strict=True)), first
    assert len([p for p in simulated.decoded if p <= first[2]]) == units


def test_calm_gops_of_two_seconds_cost_one_burst_each() -> None:
    simulated = Simulated().stream(20_000, 30, 60)
    assert [s[2] for s in simulated.samples] == [2000 * k + 200 for k in range(10)]
    assert len(simulated.decoded) == 70
    assert simulated.restarts == 9


@pytest.mark.parametrize("fps", [240, 1000])
def test_burst_is_bounded_at_any_frame_rate(fps: int) -> None:
    simulated = Simulated().stream(200 * 1000 // fps, fps, 200)
    assert len(simulated.decoded) <= BURST_UNITS
    assert len(simulated.samples) == 1


def test_intra_only_stream_is_not_decoded_whole() -> None:
    simulated = Simulated().stream(10_000, 30, 1)
    assert len(simulated.samples) >= 10
    assert len(simulated.decoded) <= 12 * 8
    assert max(b[2] - a[2] for a, b in pairwise(simulated.samples)) <= 1200


@pytest.mark.parametrize("fps", [10, 24, 25, 30, 50, 60])
@pytest.mark.parametrize("gop_s", [3, 5, 8.33, 20])
def test_long_gops_are_sampled_inside(fps: int, gop_s: float) -> None:
    simulated = Simulated().stream(40_000, fps, int(gop_s * fps))
    gaps = [b[2] - a[2] for a, b in pairwise(simulated.samples)]
    assert max(gaps) <= TIERS.blind_limit_ms + 1000 / fps + 1
    late = [at - s[2] for at, s in zip(simulated.arrived_at, simulated.samples, strict=True)]
    assert max(late) <= 1000 / fps
    assert max(simulated.work) <= CATCH_UP_UNITS


def test_after_a_long_gop_calm_decodes_in_step() -> None:
    simulated = Simulated().stream(30_000, 30, 150)
    assert max(simulated.work[160:]) == 1
    assert simulated.sampler.decodes_all


def test_short_gops_after_long_ones_are_skipped_again() -> None:
    simulated = Simulated().stream(10_000, 30, 150)
    before = len(simulated.decoded)
    for index in range(300, 900):
        simulated.unit(round(index * 1000 / 30), index % 60 == 0, Tier.CALM)
    assert len(simulated.decoded) - before < 130


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 50, 60, 120])
def test_alert_samples_are_the_closest_frames(fps: float) -> None:
    simulated = Simulated().stream(4000, fps, 60, Tier.ALERT)
    assert len(simulated.samples) >= (4000 - 200) // 200
    frames = simulated.frames
    end = 200
    for sample in simulated.samples:
        for wanted, got in zip((end - 200, end - 100, end), sample, strict=True):
            closest = min(abs(f - wanted) for f in frames)
            assert abs(got - wanted) <= closest + 1, (end, sample)
        end += 200
    assert simulated.work == [1] * len(simulated.work)


def test_a_dropped_frame_gives_way_to_the_one_before() -> None:
    simulated = Simulated()
    for pts in (0, 33, 67, 97, 140, 167, 200, 233):
        simulated.unit(pts, pts == 0, Tier.ALERT)
    assert simulated.samples[0] == (0, 97, 200)


REORDERED = (0, 133, 67, 33, 100, 267, 200, 167, 233, 400, 333, 300, 367)


def test_burst_with_reordering_ends_as_soon_as_it_is_fed() -> None:
    waiting, draining = Simulated(delay=2), Simulated(delay=2, drains=True)
    for pts in REORDERED:
        waiting.unit(pts, pts == 0, Tier.CALM)
        draining.unit(pts, pts == 0, Tier.CALM)
    assert waiting.samples == draining.samples == [(0, 100, 200)]
    assert len(draining.decoded) == 8
    assert len(waiting.decoded) == 9


def test_alert_after_a_drained_burst_begins_at_its_keyframe() -> None:
    simulated = Simulated(delay=2, drains=True)
    for pts in REORDERED[:8]:
        simulated.unit(pts, pts == 0, Tier.CALM)
    for index in range(8, 30):
        simulated.unit(round(index * 1000 / 30), False, Tier.ALERT)
    assert simulated.decoded[8:] == [*REORDERED[:8], *(round(i * 1000 / 30) for i in range(8, 30))]
    assert [s[2] for s in simulated.samples] == [200, 333, 533, 733]


def test_burst_with_a_gap_waits_for_the_frames() -> None:
    simulated = Simulated(delay=2, drains=True)
    for pts in (0, 133, 67, 100, 267, 200, 167, 233, 400, 333):
        simulated.unit(pts, pts == 0, Tier.CALM)
    assert simulated.samples == [(0, 100, 200)]
    assert len(simulated.decoded) == 8


def test_alert_in_mid_gop_catches_up_from_the_skipped_units() -> None:
    simulated = Simulated().stream(1500, 30, 90)
    assert len(simulated.decoded) == 7
    for index in range(45, 75):
        simulated.unit(round(index * 1000 / 30), False, Tier.ALERT)
    assert simulated.decoded == [round(i * 1000 / 30) for i in range(75)]
    assert max(simulated.work) == CATCH_UP_UNITS
    # Five frames after entering alert, the decoder is in step, and samples are current.
    assert simulated.samples[1][2] == 1500 + 200
    assert simulated.arrived_at[1] == 1500 + 200
    assert [s[2] for s in simulated.samples[2:]] == [1900, 2100, 2300]


def test_alert_right_after_a_burst_reuses_its_frames() -> None:
    simulated = Simulated().stream(200, 30, 60)
    simulated.unit(200, False, Tier.CALM)
    simulated.unit(233, False, Tier.ALERT)
    for index in range(8, 20):
        simulated.unit(round(index * 1000 / 30), False, Tier.ALERT)
    assert [s[2] for s in simulated.samples] == [200, 400, 600]
    assert simulated.samples[1] == (200, 300, 400)


def test_stamps_that_crawl_do_not_blind_the_gate() -> None:
    alert = Simulated()
    for index in range(10 * ALERT_FRAMES):
        alert.unit(index, index == 0, Tier.ALERT)
    assert len(alert.samples) >= 9
    calm = Simulated()
    for index in range(4 * BLIND_UNITS):
        calm.unit(index, index == 0, Tier.CALM)
    assert len(calm.samples) >= 3


def test_a_pause_does_not_join_its_two_sides_in_one_sample() -> None:
    simulated = Simulated()
    times = [*range(0, 1000, 33), *range(6000, 7000, 33)]
    for pts in times:
        simulated.unit(pts, pts == 0, Tier.ALERT)
    assert all(s[2] - s[0] <= 250 for s in simulated.samples)
    assert any(s[0] >= 6000 for s in simulated.samples)


def test_frames_that_come_only_after_pauses_are_sampled_all_the_same() -> None:
    simulated = Simulated()
    for index in range(20):
        simulated.unit(index * 3000, index == 0, Tier.ALERT)
        simulated.unit(index * 3000 + 33, False, Tier.ALERT)
    assert len(simulated.samples) >= 8


def test_false_keyframes_end_the_skipping() -> None:
    simulated = Simulated()
    simulated.stream(1000, 30, 60)
    simulated.sampler.distrust_keyframes()
    for index in range(60, 240):
        simulated.unit(round(index * 1000 / 30), index % 60 == 0, Tier.CALM)
    assert simulated.decoded[-180:] == [round(i * 1000 / 30) for i in range(60, 240)]


def test_a_stream_of_one_frame_leaves_that_frame() -> None:
    simulated = Simulated()
    simulated.unit(0, True, Tier.ALERT)
    assert simulated.sampler.finish() == (0, 0, 0)


@pytest.mark.parametrize("alert_units", range(1, 30, 3))
@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("in_step", [True, False])
def test_a_gop_in_which_alert_ends_has_a_sample(alert_units: int, delay: int, in_step: bool) -> None:
    """Voluntary alert ends after its time, or when capacity is needed. The rest of the GOP may never come."""
    simulated = Simulated(delay=delay)
    simulated.stream(2000, 30, 60, Tier.ALERT if in_step else Tier.CALM)
    for index in range(60, 120):
        simulated.unit(
            round(index * 1000 / 30), index == 60, Tier.ALERT if index < 60 + alert_units else Tier.CALM
        )
    ends = [end for _, _, end in simulated.samples if end >= 2000]
    assert ends
    assert ends[0] <= 2000 + 2 * DELTA_MS + 34
    assert sum(unit >= 2000 for unit in simulated.decoded) <= max(alert_units, 8 + delay)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[tuple[int, bool, Tier]], TierPolicy, int]:
    fps = draw(st.sampled_from([5, 10, 15, 24, 25, 30, 48, 60, 90, 120]))
    jitter = draw(st.integers(0, max(400 // fps, 1)))
    tiers = TierPolicy(
        burst_ms=draw(st.sampled_from([50, 100, 200, 400])),
        alert_interval_ms=draw(st.sampled_from([20, 100, 150, 200, 333, 1000])),
        blind_limit_ms=draw(st.sampled_from([500, 1000, 2500, 6000])),
    )
    media: list[tuple[int, bool, Tier]] = []
    now = 0
    for gop in draw(st.lists(st.integers(1, 12 * fps // 2), min_size=1, max_size=6)):
        tier = draw(st.sampled_from([Tier.CALM, Tier.CALM, Tier.ALERT]))
        change, back = sorted((draw(st.integers(0, gop)), draw(st.integers(0, gop))))
        for index in range(gop):
            now += max(1, 1000 // fps + draw(st.integers(-jitter, jitter)) if jitter else 1000 // fps)
            media.append((now, index == 0, Tier.ALERT if change <= index < back else tier))
    return media, tiers, draw(st.integers(0, 4))


@settings(max_examples=150, deadline=None)
@given(streams(), st.booleans(), st.none() | st.binary(min_size=1, max_size=4))
def test_any_stream_keeps_the_bounds(
    case: tuple[list[tuple[int, bool, Tier]], TierPolicy, int], drains: bool, seed: bytes | None
) -> None:
    media, tiers, delay = case
    simulated = Simulated(tiers, delay, drains and delay > 0, seed=seed)
    for pts, keyframe, tier in media:
        simulated.unit(pts, keyframe, tier)
    assert max(simulated.work) <= CATCH_UP_UNITS
    ends = [s[2] for s in simulated.samples]
    assert ends == sorted(set(ends)), "time goes back"
    if not simulated.drains:
        assert simulated.decoded == sorted(set(simulated.decoded)), "a unit is decoded twice"
    keyframes = {pts for pts, keyframe, _ in media if keyframe}
    for before, after in pairwise(simulated.decoded):
        assert after > before or after in keyframes, "goes back to a unit that needs what is gone"
    # Blind time: the limit, the catching up, three frames of the lowest rate and the decoder's delay. With
    # draws, keyframes of short GOPs and the ends of samples too.
    slack = 300 + (600 if seed is not None else 0) + 2 * DELTA_MS + (4 + delay) * 240
    ends = [media[0][0], *ends]
    assert all(b - a <= max(tiers.blind_limit_ms, 900) + slack for a, b in pairwise(ends))
    assert media[-1][0] - ends[-1] <= max(tiers.blind_limit_ms, 900) + slack


def test_draws_leave_no_frame_of_a_pattern_between_the_samples() -> None:
    """A fight on the frames that are no multiple of three, seen by none of the usual times at 30 fps."""
    for tier, share in ((Tier.ALERT, 0.5), (Tier.CALM, 0.3)):
        plain = Simulated().stream(120_000, 30, 60, tier)
        drawn = Simulated(seed=b"s").stream(120_000, 30, 60, tier)
        hidden = {round(index * 1000 / 30) for index in range(3600) if index % 3}
        assert not any(pts in hidden for sample in plain.samples for pts in sample)
        seen = [sum(pts in hidden for pts in sample) for sample in drawn.samples]
        assert sum(count > 0 for count in seen) > share * len(seen)
        assert 0.95 < len(drawn.decoded) / len(plain.decoded) < 1.05, "draws cost no decoding"
        assert 0.95 < len(drawn.samples) / len(plain.samples) < 1.05


def test_the_keyframes_that_are_sampled_in_tiny_gops_are_drawn() -> None:
    """With a GOP of one frame, the usual times are every 27th frame."""
    phases = {round(sample[0] / 33.4) % 27 for sample in Simulated(seed=b"s").stream(60_000, 30, 1).samples}
    assert len(phases) > 15
    assert len({round(sample[0] / 33.4) % 27 for sample in Simulated().stream(20_000, 30, 1).samples}) < 5


def test_the_same_secret_draws_the_same() -> None:
    first, again, other = (Simulated(seed=seed).stream(60_000, 25, 50) for seed in (b"a", b"a", b"b"))
    assert first.samples == again.samples
    assert first.samples != other.samples
