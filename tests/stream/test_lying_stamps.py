"""Stamps that lie gain their publisher nothing: every frame is as likely to be seen, and footage matches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from edge.domain import AccessUnit, Action
from edge.match import Bank, Entry, EntryKind, Footage, HashRun, Matcher, PdqHasher
from edge.media_clock import MediaClock
from edge.policy import Policy, TierPolicy
from edge.reasons import StampFault
from edge.stream.synthetic import EncodedMedia, encode
from tests.match.evasion.test_filmed_screen import picture

if TYPE_CHECKING:
    from tests.stream.conftest import Watch, Watched

ZERO_LATENCY = {"tune": "zerolatency"}
FPS, CALM_S, FILM_S = 30, 6, 8
FRAMES_A_PICTURE = 6
Lie = Callable[[int, AccessUnit], tuple[int, int]]
"""pts and dts of the n-th unit."""

LIES: dict[str, Lie] = {
    "stand still": lambda n, unit: (7, 7),
    "crawl": lambda n, unit: (unit.pts_ms // 4, unit.dts_ms // 4),
    "half as fast": lambda n, unit: (unit.pts_ms * 2 // 5, unit.dts_ms * 2 // 5),
    "bunch up": lambda n, unit: (n // 30 * 1000 + n % 30, n // 30 * 1000 + n % 30),
    "jump an hour": lambda n, unit: (3_600_000 * n, 3_600_000 * n),
    "go back": lambda n, unit: (10**8 - 1500 * n, 10**8 - 1500 * n),
    "go back and forth": lambda n, unit: (-2000 * (n % 2), -2000 * (n % 2)),
    "run six times as fast": lambda n, unit: (6 * unit.pts_ms, 6 * unit.dts_ms),
    "a pts far ahead": lambda n, unit: (unit.dts_ms + (2500 if n % 60 == 0 else 0), unit.dts_ms),
    "a pts of its own": lambda n, unit: (unit.dts_ms + 37 * n % 1000, unit.dts_ms),
}


def film(number: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Calm first, then the known film."""
    shown = number - FPS * CALM_S
    if shown < 0:
        return np.full((height, width), 90, np.uint8)
    return picture(shown // FRAMES_A_PICTURE, height, width)


@pytest.fixture(scope="module", params=[0, 2], ids=["in order", "reordered"])
def media(request: pytest.FixtureRequest) -> EncodedMedia:
    return encode(
        frames=FPS * (CALM_S + FILM_S),
        gop=30,
        size=(180, 320),
        b_frames=request.param,
        picture=film,
        options=ZERO_LATENCY if request.param == 0 else None,
    )


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hasher, path = PdqHasher(), tmp_path_factory.mktemp("banks")
    step_ms = 1000 * FRAMES_A_PICTURE // FPS
    runs = tuple(
        HashRun(hasher.hash(picture(n, 180, 320)).bits, start_ms=n * step_ms, span_ms=step_ms - 34)
        for n in range(1000 * FILM_S // step_ms)
    )
    Bank.create(path / "known").add_footage([Footage(Entry("film", EntryKind.VIDEO), runs)])
    return path


def arriving(media: EncodedMedia, lie: Lie | None, clock: MediaClock) -> Iterator[AccessUnit]:
    """The media live: each unit arrives in its time, with its stamps, and gets the gate's media time."""
    for number, unit in enumerate(media.units):
        arrival_ms = 1000 * number / FPS
        pts_ms, dts_ms = (unit.pts_ms, unit.dts_ms) if lie is None else lie(number, unit)
        pts_ms, dts_ms = clock.advance(pts_ms, dts_ms, arrival_ms)
        yield replace(unit, pts_ms=pts_ms, dts_ms=dts_ms, arrival_ms=arrival_ms)


def samples_to_cut(watched: Watched, units: Iterable[AccessUnit]) -> int:
    """Number of samples of the film up to the cut, the cut's own included. A huge one without a cut."""
    watched.feed(units)
    film_ms = 1000.0 * CALM_S
    for number, (_, judgement) in enumerate(
        (
            pair
            for pair in zip(watched.samples, watched.judgements, strict=True)
            if pair[0].arrival_ms >= film_ms
        ),
        start=1,
    ):
        if judgement.verdict.action is Action.CUT:
            assert judgement.verdict.reason == "match"
            return number
    return 1 << 30


@pytest.mark.parametrize("alert", [False, True], ids=["calm", "alert"])
def test_known_footage_is_cut_within_as_many_samples_as_with_good_stamps(
    alert: bool, media: EncodedMedia, bank: Path, watch: Watch
) -> None:
    policy = Policy(tiers=TierPolicy(start_alert_ms=100_000 if alert else 0))

    def samples(lie: Lie | None) -> int:
        clock = MediaClock()
        watched = watch(media, policy, matcher=Matcher.open(bank), seed=b"secret")
        count = samples_to_cut(watched, arriving(media, lie, clock))
        assert not clock.ahead_ms
        return count

    usual = samples(None)
    assert {name: count for name, lie in LIES.items() if (count := samples(lie)) > usual + 2} == {}


def test_footage_of_few_frames_that_is_sent_fast_is_cut(bank: Path, watch: Watch) -> None:
    """Five frames a second with honest stamps arrive at eight times their pace, after the lead is used up.
    The reader does not wait for stamps that far apart, and media time is a guess."""
    calm = 10 * FPS // FRAMES_A_PICTURE + 10

    def shown(number: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        known = number - calm
        return np.full((height, width), 90, np.uint8) if known < 0 else picture(known, height, width)

    media = encode(frames=calm + 40, fps=5, gop=5, size=(180, 320), picture=shown, options=ZERO_LATENCY)
    clock, watched = MediaClock(), watch(media, alert=True, matcher=Matcher.open(bank), seed=b"secret")
    for number, unit in enumerate(media.units):
        pts_ms, dts_ms = clock.advance(unit.pts_ms, unit.dts_ms, 25.0 * number)
        untimed = clock.fault is StampFault.FAST
        watched.feed([replace(unit, pts_ms=pts_ms, dts_ms=dts_ms, arrival_ms=25.0 * number, untimed=untimed)])
    assert clock.fault is StampFault.FAST
    assert Action.CUT in {judgement.verdict.action for judgement in watched.judgements}


def test_a_pts_ahead_of_its_time_hides_no_frame_behind_it(watch: Watch) -> None:
    """Each seventeenth frame is dark, and claims a time after the sixteen bright ones that follow it."""

    def shown(number: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        return np.full((height, width), 200 if number % 17 else 30, np.uint8)

    media = encode(frames=510, gop=17, picture=shown, options=ZERO_LATENCY)
    policy = Policy(tiers=TierPolicy(start_alert_ms=0, bitrate_jump=0))
    lie: Lie = lambda n, unit: (unit.dts_ms + (560 if n % 17 == 0 else 0), unit.dts_ms)  # noqa: E731
    watched = watch(media, policy, alert=True, seed=b"secret")
    watched.feed(arriving(media, lie, MediaClock()))
    assert watched.pipeline.disorderly
    bright = [float(sample.luma.mean()) > 100 for sample in watched.samples[10:]]
    assert len(bright) > 20
    assert sum(bright) / len(bright) > 0.8
