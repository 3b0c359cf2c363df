"""The temporal vote on generated time lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import Action, BankSeverity, SignalSource
from edge.errors import InvalidInput
from edge.match import BankPurpose, Candidate, MatchVote


def at(entry: str, timestamp_ms: int | None, distance: int = 10, **more: object) -> Candidate:
    return Candidate(entry, "known", "fight", distance, timestamp_ms, **more)  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    slope=st.floats(0.5, 2.0),
    offset=st.integers(0, 3_600_000),
    start=st.integers(0, 10_000_000),
    steps=st.lists(st.integers(40, 4000), min_size=4, max_size=4),
    jitter=st.lists(st.integers(-60, 60), min_size=5, max_size=5),
)
def test_footage_in_order_at_half_to_twice_the_speed_counts(
    slope: float, offset: int, start: int, steps: list[int], jitter: list[int]
) -> None:
    vote = MatchVote(3)
    live = start
    signals = []
    for i, step in enumerate([0, *steps]):
        live += step
        bank = round(100 + offset + slope * (live - start)) + jitter[i]
        signals = list(vote.add_candidates(live, [at("v", bank)]))
        assert bool(signals) == (i >= 2), i
    (signal,) = signals
    assert (signal.source, signal.category, signal.entry) == (SignalSource.MATCH, "fight", "v")
    assert signal.distance == 10
    assert signal.score == 1 - 10 / 256
    assert "hits=5 " in signal.detail


@settings(deadline=None)
@given(
    k=st.integers(1, 8),
    span_ms=st.integers(500, 60_000),
    steps=st.lists(st.tuples(st.integers(20, 20_000), st.booleans()), min_size=1, max_size=60),
)
def test_exactly_k_hits_within_the_span_count_whatever_lies_between(
    k: int, span_ms: int, steps: list[tuple[int, bool]]
) -> None:
    vote, now, hits = MatchVote(k, span_ms), 0, list[int]()
    for step, hit in steps:
        now += step
        if hit:
            hits.append(now)
        counted = vote.add_candidates(now, [at("v", now)] if hit else [])
        assert bool(counted) == (hit and sum(now - one <= span_ms for one in hits) >= k)


def test_footage_in_pieces_with_much_between_them_counts() -> None:
    """A publisher shows a tenth of a known video, never in two samples of five."""
    vote = MatchVote()
    counted = [
        bool(vote.add_candidates(400 * i, [at("v", 400 * i)] if i % 10 == 0 else [])) for i in range(30)
    ]
    assert counted.index(True) == 20


def test_backwards_frozen_or_scattered_footage_does_not_count() -> None:
    for times in (
        [8000, 6000, 4000, 2000, 0],
        [5000, 5000, 5000, 5000, 5000],
        [0, 90_000, 7000, 50_000, 20_000],
    ):
        vote = MatchVote(3)
        for i, bank in enumerate(times):
            assert vote.add_candidates(2000 * i, [at("v", bank)]) == (), times


def view(*bits: int) -> bytes:
    """The hash of a live view in which these bits are set."""
    return sum(1 << bit for bit in bits).to_bytes(32)


def test_a_still_frame_does_not_count_even_where_the_known_video_stands_still() -> None:
    """A test card, a slide or a wall. An encoder moves its hash by some bits."""
    vote = MatchVote(3)
    for i in range(50):
        seen = view(*range(i % 13))
        assert not vote.add_candidates(1000 * i, [at("v", 5000, span_ms=80_000, view=seen)])
    assert not vote.near, "whoever shows nothing else is watched like anybody"


def test_frames_that_alternate_vote_once_each() -> None:
    vote = MatchVote(3)
    card, slide = view(), view(*range(100))
    for i in range(20):
        seen = (card, slide)[i % 2]
        assert not vote.add_candidates(200 * i, [at("v", 5000, span_ms=8000, view=seen)])


def test_what_moves_within_a_still_stretch_of_a_known_video_counts() -> None:
    """People before a fixed camera move the hash by less than the radius, but they move it."""
    vote = MatchVote(3)
    results = [
        vote.add_candidates(200 * i, [at("v", 5000, span_ms=8000, view=view(*range(13 * i)))])
        for i in range(3)
    ]
    assert [bool(r) for r in results] == [False, False, True]


@settings(deadline=None)
@given(
    views=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    k=st.integers(1, 6),
)
def test_as_many_votes_count_as_frames_differ(views: list[int], k: int) -> None:
    vote = MatchVote(k, 60_000)
    shown: set[int] = set()
    for i, number in enumerate(views):
        new = number not in shown
        shown.add(number)
        seen = view(*range(20 * number, 20 * number + 20))
        counted = vote.add_candidates(200 * i, [at("v", 0, span_ms=60_000, view=seen)])
        assert bool(counted) == (new and len(shown) >= k)


def test_a_known_image_needs_no_motion() -> None:
    vote = MatchVote(3)
    results = [vote.add_candidates(1000 * i, [at("i", None, view=view())]) for i in range(3)]
    assert [bool(r) for r in results] == [False, False, True]


def test_a_single_image_needs_no_order() -> None:
    vote = MatchVote(3)
    results = [vote.add_candidates(1000 * i, [at("i", None, distance=20 - i)]) for i in range(3)]
    assert not results[1]
    (signal,) = results[2]
    assert signal.distance == 18
    assert "slope" not in signal.detail


def test_gaps_and_wrong_candidates_are_tolerated() -> None:
    vote = MatchVote(3)
    wrong = at("v", 900_000, distance=2)
    assert vote.add_candidates(0, [wrong, at("v", 10_000)]) == ()
    assert vote.add_candidates(200, [wrong]) == ()
    assert vote.add_candidates(400, [at("v", 10_400), at("other", 0)]) == ()
    assert vote.add_candidates(600, []) == ()
    (signal,) = vote.add_candidates(800, [wrong, at("v", 10_800, distance=4)])
    assert "hits=3 within_ms=800 offset_ms=10000 slope=1.00 distances=10,10,4" in signal.detail
    assert (signal.begin_pts_ms, signal.pts_ms) == (0, 800)


def test_only_an_entry_that_the_newest_sample_shows_counts() -> None:
    vote = MatchVote(3)
    for i in range(3):
        last = vote.add_candidates(200 * i, [at("v", 200 * i)])
    assert last
    assert vote.add_candidates(600, []) == ()
    assert vote.add_candidates(800, [at("w", 0)]) == ()


def test_footage_is_near_for_a_second_and_reset_forgets() -> None:
    vote = MatchVote(2)
    assert not vote.near
    vote.add_candidates(0, [at("v", 0)])
    assert vote.near
    for pts_ms in range(20, 1001, 20):
        vote.add_candidates(pts_ms, [])
    assert vote.near
    vote.add_candidates(1001, [])
    assert not vote.near
    vote.add_candidates(2000, [at("v", 0)])
    vote.reset()
    assert not vote.near


def test_time_that_goes_back_starts_anew_and_old_samples_lapse() -> None:
    vote = MatchVote(2)
    vote.add_candidates(10_000, [at("i", None)])
    assert vote.add_candidates(0, [at("i", None)]) == ()
    assert vote.add_candidates(40_000, [at("i", None)]) == ()
    assert vote.add_candidates(40_200, [at("i", None)])


def test_entries_that_may_not_cut_say_so() -> None:
    for candidate in (at("i", None, purpose=BankPurpose.INVESTIGATE), at("i", None, quarantined=True)):
        vote = MatchVote(1)
        (signal,) = vote.add_candidates(0, [candidate])
        assert signal.at_most is Action.FLAG
        assert signal.detail.endswith("at_most=flag")


def test_entries_that_are_only_counted_ask_for_nothing_also_when_quarantined() -> None:
    for quarantined in (False, True):
        counted = at("i", None, purpose=BankPurpose.COUNT, quarantined=quarantined)
        (signal,) = MatchVote(1).add_candidates(0, [counted])
        assert signal.at_most is Action.PASS


def test_a_signal_carries_the_severity_of_its_bank() -> None:
    (signal,) = MatchVote(1).add_candidates(0, [at("i", None, severity=BankSeverity.CRITICAL)])
    assert signal.severity is BankSeverity.CRITICAL
    assert "severity=critical" in signal.detail.split()
    (signal,) = MatchVote(1).add_candidates(0, [at("i", None)])
    assert (signal.severity, signal.at_most) == (BankSeverity.HIGH, Action.CUT)
    assert "severity=high" in signal.detail.split()


@pytest.mark.parametrize("k", [0, 65])
def test_k_is_checked(k: int) -> None:
    with pytest.raises(InvalidInput, match=r"match\.k"):
        MatchVote(k)


@given(st.lists(st.integers(1, 400), min_size=100, max_size=400))
@settings(deadline=None, max_examples=10)
def test_a_flood_of_candidates_is_bounded(steps: list[int]) -> None:
    vote, now = MatchVote(3, 60_000), 0
    for step in steps:
        now += step
        (signal,) = vote.add_candidates(now, [at("v", now)])[:1] or (None,)
    assert signal is not None
    assert "hits=64 " in signal.detail
