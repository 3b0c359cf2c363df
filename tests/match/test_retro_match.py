"""New entries in what streams have shown: found exactly where they would have been found live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.domain import Action
from edge.match import (
    Bank,
    BankInfo,
    BankPurpose,
    BankSet,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Matcher,
    MatchVote,
    PdqHash,
    RecentFootage,
)
from edge.match.bank.new_entries import new_entries
from edge.match.recent_footage import stream_tag
from edge.match.retro_match import PastMatch, near_views, past_matches, shown_ms
from edge.policy import MatchPolicy

NOW = 1_700_000_000_000
POLICY = MatchPolicy()


def frame(number: int, flipped: int = 0) -> bytes:
    """Frame of a film, of which some bits may be flipped."""
    draw = np.random.default_rng(number)
    bits = np.unpackbits(draw.integers(0, 256, 32, np.uint8))
    bits[np.random.default_rng(number + 7).permutation(256)[:flipped]] ^= 1
    return np.packbits(bits).tobytes()


def film(frames: range = range(0, 250), name: str = "film") -> Footage:
    """Footage with 25 frames a second."""
    runs = tuple(HashRun(frame(number), 40 * (number - frames.start)) for number in frames)
    return Footage(Entry(name, EntryKind.VIDEO), runs)


def found(
    folder: Path,
    memory: RecentFootage,
    *streams: str,
    policy: MatchPolicy = POLICY,
    now_ms: int = NOW,
    of: tuple[str, ...] = ("known",),
) -> dict[str, PastMatch]:
    banks = BankSet().read_anew(folder, (), strict=True)
    news = [new for new in new_entries(BankSet(), banks) if new.bank.bank.name in of]
    views = memory.since(now_ms - policy.look_back_ms)
    policies = {int(stream_tag(name)): policy for name in streams}
    names = {int(stream_tag(name)): name for name in streams}
    matches = past_matches(views, near_views(views, news), news, banks, policies, now_ms)
    return {names[match.stream]: match for match in matches}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Banks with a film."""
    folder = tmp_path_factory.mktemp("banks")
    Bank.create(folder / "known").add_footage([film()])
    return folder


Shown = tuple[int, int, int]
"""Seconds after the view before, number of the frame, and bits by which it differs."""


@settings(deadline=None, max_examples=40)
@given(
    streams=st.lists(
        st.lists(st.tuples(st.integers(1, 12), st.integers(0, 400), st.integers(0, 40)), max_size=10),
        max_size=4,
    ),
    straight=st.booleans(),
    k=st.integers(1, 4),
)
def test_it_finds_whom_the_same_frames_would_have_convicted_live(
    folder: Path, streams: list[list[Shown]], straight: bool, k: int
) -> None:
    memory, policy = RecentFootage(folder / "recent", 1 << 12), MatchPolicy(k=k)
    matcher, convicted = Matcher.open(folder, clock=ManualClock()), set[str]()
    for number, shown in enumerate(streams):
        name, pts_ms, vote = f"st_{number}", 0, MatchVote(k, policy.span_ms)
        for after_s, at, flipped in shown:
            pts_ms += 1000 * after_s
            # In order of the film, or in none.
            bits = frame(pts_ms // 40 if straight else at, flipped)
            kept = memory.remember(name, bits, pts_ms, NOW - 60_000 + pts_ms)
            if kept and vote.add_candidates(pts_ms, matcher.query_hash(PdqHash(bits, bits, 100))):
                convicted.add(name)
    names = [f"st_{number}" for number in range(len(streams))]
    assert set(found(folder, memory, *names, policy=policy)) == convicted


def test_what_was_missed_is_said_and_what_is_long_ago_or_not_asked_for_is_not_found(
    folder: Path, tmp_path: Path
) -> None:
    memory = RecentFootage(tmp_path / "recent", 1 << 12)
    for name, ago_ms in (("now", 5_000), ("earlier", 600_000), ("long ago", 1_000_000), ("other", 0)):
        for second in range(5):
            memory.remember(
                name, frame(25 * second, 6), 1000 * second, NOW - ago_ms + 1000 * second, passed=False
            )
    matches = found(folder, memory, "now", "earlier", "long ago")
    assert set(matches) == {"now", "earlier"}
    signal = matches["earlier"].signal
    assert (signal.bank, signal.entry, signal.missed_ms) == ("known", "film", 5000)
    assert matches["earlier"].last_wall_ms == NOW - 596_000


def test_a_frame_that_a_benign_bank_knows_does_not_vote(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known").add_footage([film()])
    memory = RecentFootage(tmp_path / "recent", 1 << 12)
    for second in range(3):
        memory.remember("st_1", frame(25 * second, 6), 1000 * second, NOW)
    assert found(tmp_path, memory, "st_1")
    benign = Bank.create(tmp_path / "intros", BankInfo(opinion=BankPurpose.BENIGN))
    benign.add_footage([Footage(Entry("intro", EntryKind.IMAGE), (HashRun(frame(25, 2)),))])
    assert not found(tmp_path, memory, "st_1")


@pytest.mark.parametrize("weak", [BankPurpose.COUNT, BankPurpose.INVESTIGATE])
def test_an_entry_that_may_do_less_hides_none_that_may_do_more(tmp_path: Path, weak: BankPurpose) -> None:
    Bank.create(tmp_path / "lent", BankInfo(opinion=weak)).add_footage([film()])
    Bank.create(tmp_path / "known").add_footage([film(range(100, 250), "its end")])
    memory = RecentFootage(tmp_path / "recent", 1 << 12)
    for second in range(8):
        memory.remember("st_1", frame(25 * second, 6), 1000 * second, NOW)
    match = found(tmp_path, memory, "st_1", of=("known", "lent"))["st_1"]
    assert (match.signal.bank, match.signal.at_most) == ("known", Action.CUT)
    only = found(tmp_path, memory, "st_1", of=("lent",))["st_1"]
    assert (only.signal.bank, only.signal.at_most) == ("lent", weak.at_most(quarantined=False))


def test_an_image_counts_as_long_as_it_stands(tmp_path: Path) -> None:
    image = Footage(Entry("card", EntryKind.IMAGE), (HashRun(frame(1)),))
    Bank.create(tmp_path / "known").add_footage([image])
    memory = RecentFootage(tmp_path / "recent", 1 << 12)
    for name, seconds in (("flash", 1), ("stands", 5)):
        for second in range(seconds):
            memory.remember(name, frame(1, 3), 1000 * second, NOW, unseen_ms=1000)
        memory.remember(name, frame(2), 1000 * seconds, NOW, unseen_ms=1000)
    matches = found(tmp_path, memory, "flash", "stands")
    assert set(matches) == {"stands"}
    assert matches["stands"].signal.missed_ms == 5000


@given(views=st.lists(st.tuples(st.integers(1, 50_000), st.integers(0, 5_000)), min_size=1, max_size=9))
def test_what_was_shown_is_no_longer_than_it_can_have_been(views: list[tuple[int, int]]) -> None:
    pts_ms, until_ms, at = list[int](), list[int](), 0
    for after_ms, stood_ms in views:
        pts_ms.append(at + after_ms)
        at = pts_ms[-1] + stood_ms
        until_ms.append(at)
    shown = shown_ms(np.array(pts_ms), np.array(until_ms), 20_000)
    assert sum(stood for _, stood in views) < shown <= at - pts_ms[0] + 1000 * len(views)
