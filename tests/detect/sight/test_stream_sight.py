"""Which frames of a stream are due, and what persists of their scores. With a clock of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.sight.frame_scaler import Rgb
from edge.detect.sight.stream_sight import MOST_WAITING, StreamSight
from edge.detect.witness_specs import FrameTimes, KOfN
from edge.domain import ModelKind, SignalSource

FRAME_MS = 40


@dataclass
class Scripted:
    """Scores each frame by the media time that it is of."""

    scores: Mapping[int, float] = field(default_factory=dict)
    rule: KOfN = field(default_factory=lambda: KOfN(k=2, n=3))
    every: FrameTimes = field(default_factory=FrameTimes)

    def picture(self, frame: Any) -> Rgb:
        return np.full((1, 1, 3), 0, np.uint8)

    def infer(self, picture: Rgb) -> Mapping[str, float]:
        return {"firearm": 0.0, "blood": 1.0}

    def persistence(self, on: Collection[str]) -> dict[str, KOfN]:
        return {name: self.rule for name in ("firearm", "blood") if name in on}

    def goes_on(self, scores: Mapping[str, float]) -> bool:
        return any(score >= 0.5 for score in scores.values())


@dataclass
class Timed(Scripted):
    """Takes its score from the frame itself, which stands for one."""

    def picture(self, frame: Any) -> Rgb:
        return np.array([[[frame, 0, 0]]], np.uint8)

    def infer(self, picture: Rgb) -> Mapping[str, float]:
        return {"firearm": float(picture[0, 0, 0]) / 100}


def taken(frames: Collection[int], sight: StreamSight) -> list[int]:
    """Media times of the frames that are taken, of those decoded at these times."""
    found = []
    for pts_ms in frames:
        if sight.wants(pts_ms):
            sight.add_frame(0, pts_ms, 0.0)  # type: ignore[arg-type]
            found.append(pts_ms)
            list(sight.waiting())
    return found


def sight(model: Scripted | None = None) -> StreamSight:
    return StreamSight(model or Scripted(), ["firearm"])


def test_calm_streams_are_looked_at_every_two_seconds_and_alert_ones_every_second() -> None:
    frames = range(0, 6_000, FRAME_MS)
    assert taken(frames, sight()) == [0, 1960, 3920, 5880]
    alert = sight()
    alert.alert = True
    assert taken(frames, alert) == [0, 960, 1920, 2880, 3840, 4800, 5760]


def test_a_keyframe_that_comes_a_little_early_is_taken() -> None:
    keyframes = [0, 1_990, 3_985, 5_999]
    assert taken(keyframes, sight()) == keyframes


def test_media_time_that_goes_back_is_looked_at_again() -> None:
    assert taken([90_000, 500, 1_000, 2_600], sight()) == [90_000, 500, 2_600]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 30_000), min_size=2, max_size=60, unique=True).map(sorted),
    st.booleans(),
)
def test_no_two_frames_are_nearer_than_asked_for_and_none_is_missed(frames: list[int], alert: bool) -> None:
    one = sight()
    one.alert = alert
    every = (1_000 if alert else 2_000) - 50
    chosen = taken(frames, one)
    assert chosen[0] == frames[0]
    assert all(later - earlier >= every for earlier, later in pairwise(chosen))
    for pts_ms in frames:
        assert any(0 <= pts_ms - each < every for each in chosen)


def test_frames_that_wait_are_bounded_and_what_is_lost_is_counted() -> None:
    one = sight()
    for number in range(MOST_WAITING + 3):
        one.add_frame(0, 2_000 * number, 0.0)  # type: ignore[arg-type]
    waiting = list(one.waiting())
    assert [picture.pts_ms for picture in waiting] == [2_000 * at for at in range(3, MOST_WAITING + 3)]
    assert one.lost == 3
    one.pass_over(waiting[0])
    assert one.lost == 4


def played(shown: Collection[tuple[int, int]], rule: KOfN) -> list[float]:
    """The score after each frame, given pairs of media time and hundredths."""
    one = StreamSight(Timed(rule=rule), ["firearm"])
    found = []
    for pts_ms, hundredths in shown:
        one.add_frame(hundredths, pts_ms, 0.0)  # type: ignore[arg-type]
        (picture,) = one.waiting()
        (signal,) = one.judge(picture)
        assert (signal.source, signal.kind) == (SignalSource.DETECT, ModelKind.FRAME)
        assert signal.pts_ms == pts_ms
        found.append(signal.score)
    return found


def test_one_frame_is_nothing_and_two_are_the_weaker_of_them() -> None:
    shown = [(0, 90), (2_000, 10), (4_000, 80), (6_000, 20), (8_000, 30)]
    assert played(shown, KOfN(k=2, n=3)) == [0.0, 0.1, 0.8, 0.2, 0.3]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1_000, 9_000), st.integers(0, 100)), min_size=1, max_size=25),
    st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))),
    st.integers(1, 100),
)
def test_it_is_over_a_threshold_exactly_where_k_of_n_frames_near_enough_are(
    steps: list[tuple[int, int]], rule: tuple[int, int], threshold: int
) -> None:
    k, n = rule
    pts_ms, shown = 0, []
    for step_ms, hundredths in steps:
        pts_ms += step_ms
        shown.append((pts_ms, hundredths))
    for number, score in enumerate(played(shown, KOfN(k=k, n=n))):
        now_ms = shown[number][0]
        last = [one for one in shown[: number + 1][-n:] if now_ms - one[0] < (n - 0.5) * 4_000]
        over = sum(hundredths >= threshold for _, hundredths in last) >= k
        assert (score >= threshold / 100) == over


def test_what_was_seen_ends_where_frames_stay_out() -> None:
    one = StreamSight(Timed(), ["firearm"])
    for pts_ms in (0, 2_000):
        one.add_frame(90, pts_ms, 0.0)  # type: ignore[arg-type]
        (picture,) = one.waiting()
        one.judge(picture)
    assert one.goes_on
    assert one.expire(11_900) == ()
    (signal,) = one.expire(12_100)
    assert (signal.score, signal.pts_ms, signal.kind) == (0.0, 12_100, ModelKind.FRAME)
    assert not one.goes_on
    assert one.expire(60_000) == ()


def test_categories_that_are_off_say_nothing_and_ask_for_nothing() -> None:
    one = StreamSight(Scripted(), ["firearm"])
    one.add_frame(0, 0, 0.0)  # type: ignore[arg-type]
    (picture,) = one.waiting()
    assert [signal.category for signal in one.judge(picture)] == ["firearm"]
    assert not one.goes_on
