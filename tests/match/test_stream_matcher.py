"""Lookups of one stream's frames, with a filmed screen in them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from edge.match import (
    Bank,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Matcher,
    MatchVote,
    PdqHasher,
    StreamMatcher,
    frames_of,
)
from edge.match.evasion.filmed_screen import Quad
from edge.match.evasion.rescan_schedule import STILL_PAUSE_MS
from edge.match.stream_matcher import (
    FRAMES,
    LATER_LOOK_MS,
    LOOK_MS,
    MAX_PAUSE_MS,
    PAUSE_MS,
    STILL_SEARCH_MS,
    ScreenWatch,
)
from tests.match.evasion.test_filmed_screen import SLANTED, U8, filmed, picture

CORNERS = SLANTED["from the right"]
EVERY_MS = 200


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    banks: Path = tmp_path_factory.mktemp("banks")
    hasher = PdqHasher()
    runs = tuple(
        HashRun(hasher.hash(picture(n)).bits, start_ms=n * EVERY_MS, span_ms=8000 if n == 7 else 0)
        for n in range(20)
    )
    Bank.create(banks / "known").add_footage([Footage(Entry("film", EntryKind.VIDEO), runs)])
    return Matcher.open(banks)


def test_known_footage_filmed_at_a_slant_counts_within_three_seconds(matcher: Matcher) -> None:
    lookup, vote, plain = StreamMatcher(matcher), MatchVote(), 0
    counted = None
    for n in range(15):
        frame = filmed(picture(n), CORNERS, seed=n)
        plain += bool(matcher.query(frame))
        (*signals,) = vote.add_candidates(n * EVERY_MS, lookup.query(n * EVERY_MS, frame))
        if signals and counted is None:
            counted = n * EVERY_MS
            assert signals[0].entry == "film"
            assert "variant=original+screen" in signals[0].detail
    assert plain == 0
    assert counted is not None
    assert counted <= 3000


def frames(shown: Iterable[int], encoded_as: dict[str, str], path: Path) -> list[tuple[int, U8]]:
    """Frames at 25 frames a second through an encoder, one every fifth of a second."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"g": "50", "preset": "veryfast", **encoded_as})
        video.height, video.width = picture(0).shape
        video.pix_fmt = "yuv420p"
        for number in shown:
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(number), format="gray")))
        out.mux(video.encode())
    return [(at, luma.copy()) for at, _, luma in frames_of(path)][::5]


@pytest.mark.parametrize("crf", ["23", "38"])
def test_a_frame_of_a_known_video_that_stands_still_is_no_showing_of_it(
    matcher: Matcher, tmp_path: Path, crf: str
) -> None:
    still = frames([7] * 150, {"crf": crf}, tmp_path / "still.mp4")
    lookup, vote = StreamMatcher(matcher), MatchVote()
    found = [(lookup.query(at, luma), at) for at, luma in still]
    assert all(candidates for candidates, _ in found), "each frame is known"
    assert not [at for candidates, at in found if vote.add_candidates(at, candidates)]


def test_mirrored_on_the_screen_it_counts_too(matcher: Matcher) -> None:
    lookup = StreamMatcher(matcher)
    frames = [filmed(np.ascontiguousarray(picture(n)[:, ::-1]), CORNERS, seed=n) for n in range(8)]
    found = [lookup.query(n * EVERY_MS, frame) for n, frame in enumerate(frames)]
    assert found[-1][0].variant == "original+screen+mirror"


def looks(watch: ScreenWatch, frames: list[U8], seen: bool, *, still: bool = False) -> list[int]:
    """Media times of the rescans, one frame every 200 ms. ``still`` gives all frames the same hash."""
    at = []
    for n, frame in enumerate(frames):
        bits = bytes([0 if still else n % 256]) * 32
        if watch.add_frame(n * EVERY_MS, frame, bits):
            watch.looked(n * EVERY_MS, bits, seen)
            at.append(n * EVERY_MS)
    return at


@cache
def shown() -> tuple[U8, ...]:
    """A screen with six frames on it, one after the other."""
    return tuple(filmed(picture(n), CORNERS, 180, 320, seed=n) for n in range(6))


def watched(count: int) -> list[U8]:
    return [shown()[n % 6] for n in range(count)]


def test_looks_are_seldom_until_one_shows_something_known() -> None:
    frames = watched(30)
    first = (FRAMES - 1) * EVERY_MS
    assert looks(ScreenWatch(), frames, seen=False) == list(range(first, 6000, LOOK_MS))
    assert looks(ScreenWatch(), frames, seen=True) == list(range(first, 6000, EVERY_MS))


def test_looks_are_fewer_later_on() -> None:
    frames = watched(100)
    gaps = np.diff(looks(ScreenWatch(), frames, seen=False))
    assert (gaps[:8] == LOOK_MS).all()
    assert (gaps[-2:] == LATER_LOOK_MS).all()


def test_looks_are_fewer_still_while_the_frame_stays_what_it_was() -> None:
    frames = watched(200)
    gaps = np.diff(looks(ScreenWatch(), frames, seen=False, still=True))
    assert (gaps[:8] == LOOK_MS).all()
    assert (gaps[-2:] == STILL_PAUSE_MS).all()


def test_searches_become_seldom_where_they_lead_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []

    def counted(points: object) -> tuple[Quad, ...]:
        searches.append(now)
        return ()

    monkeypatch.setattr("edge.match.stream_matcher.quads", counted)
    frame = picture(0, 90, 160)
    for still, least_ms in ((False, MAX_PAUSE_MS), (True, STILL_SEARCH_MS)):
        watch = ScreenWatch()
        searches.clear()
        for now in range(0, 120_000, EVERY_MS):
            assert watch.add_frame(now, frame, bytes([0 if still else now // EVERY_MS % 256]) * 32) == ()
        gaps = np.diff(searches)
        assert searches[0] == (FRAMES - 1) * EVERY_MS
        assert gaps.min() >= PAUSE_MS
        assert (gaps[-2:] >= least_ms).all()
        assert (gaps[-2:] <= least_ms + 1000).all()


def test_media_time_that_goes_back_starts_anew() -> None:
    frames = watched(6)
    watch = ScreenWatch()
    assert looks(watch, frames, seen=True)
    assert watch.add_frame(0, frames[0], bytes(32)) == ()


def test_a_film_that_begins_in_a_part_of_a_frame_that_stands_still_counts(matcher: Matcher) -> None:
    """An older stream shows the same frame for a minute. Then a film runs in half of its width."""
    lookup, vote = StreamMatcher(matcher), MatchVote()
    still = np.asarray(picture(99, 720, 1280) // 4 + 90, np.uint8)
    begin_ms, counted = 60_000, None
    for at in range(0, begin_ms, 2000):
        assert lookup.query(at, still) == ()
    for n in range(40):
        at, frame = begin_ms + n * EVERY_MS, still.copy()
        frame[100:460, 500:1140] = picture(n % 20)
        if tuple(vote.add_candidates(at, lookup.query(at, frame))):
            counted = at
            break
    assert counted is not None
    assert counted - begin_ms <= 4000
