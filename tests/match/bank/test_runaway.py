"""Runaway entries and the edge's own bank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import Action
from edge.errors import AlreadyExists, BrokenMedia
from edge.match import (
    INCIDENT_BANK,
    Bank,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Matcher,
    MatchVote,
    RunawayGuard,
    bank_incident,
    frames_of,
    withdraw_incident,
)
from edge.match.bank.runaway import MAX_ENTRIES, Runaway
from edge.match.pdq.hasher import PdqHash


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 60))
def test_an_entry_runs_away_with_the_first_stream_over_the_limit(limit: int, streams: int) -> None:
    guard = RunawayGuard()
    found = [guard.observe(i, "known", "e", f"st{i}", limit) for i in range(streams)]
    assert found.index(Runaway.OVER) == limit if streams > limit else Runaway.OVER not in found
    if streams > limit // 2:
        assert Runaway.IN_DOUBT in found[: limit + 1] or limit == 1, "people are asked first"


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0, 0.1))
def test_a_hundred_streams_that_weigh_little_switch_nothing_off_and_people_are_asked(
    streams: int, weight: float
) -> None:
    guard = RunawayGuard()
    found = [guard.observe(i, "known", "e", f"st{i}", 100, weight) for i in range(streams)]
    assert Runaway.OVER not in found
    assert found.count(Runaway.IN_DOUBT) == (streams > 100)


def test_one_stream_that_matches_often_is_no_runaway() -> None:
    guard = RunawayGuard()
    assert Runaway.OVER not in {guard.observe(i, "known", "e", f"st{i % 3}", 3) for i in range(1000)}


def test_streams_spread_over_time_are_no_runaway() -> None:
    guard = RunawayGuard(window_ms=1000)
    assert Runaway.OVER not in {guard.observe(i * 501, "known", "e", f"st{i}", 2) for i in range(100)}


def test_a_limit_of_0_means_never_and_memory_is_bounded() -> None:
    guard = RunawayGuard()
    assert {guard.observe(0, "known", "e", f"st{i}", 0) for i in range(1000)} == {Runaway.NO}
    for i in range(MAX_ENTRIES + 100):
        guard.observe(0, "known", f"e{i}", "st", 5)
    assert len(guard._seen) == MAX_ENTRIES


def test_a_quarantined_entry_asks_for_a_person_only(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).bytes(32)
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([Footage(Entry("e", EntryKind.IMAGE), (HashRun(bits),))])
    matcher = Matcher.open(tmp_path)
    query = PdqHash(bits, bytes(32), 100)
    assert not matcher.query_hash(query)[0].quarantined
    bank.set_quarantined(["e"], True)
    assert matcher.reload()
    (candidate,) = matcher.query_hash(query)
    (signal,) = MatchVote(1, 1).add_candidates(0, [candidate])
    assert candidate.quarantined
    assert signal.at_most is Action.FLAG
    assert "at_most=flag" in signal.detail.split()
    bank.set_quarantined(["e"], False)
    assert matcher.reload()
    assert not matcher.query_hash(query)[0].quarantined


def clip(path: Path) -> Path:
    with av.open(str(path), "w") as media:
        stream = media.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        y, x = np.mgrid[0:144, 0:192]
        for i in range(8):
            total = 128 + sum(25 * np.sin(x / (6 + 3 * n) + y / (9 + 2 * n) + i * n) for n in range(5))
            grey = np.asarray(np.clip(total, 0, 255), np.uint8)
            media.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        media.mux(stream.encode())
    return path


def test_a_confirmed_incident_is_known_footage_until_it_is_overturned(tmp_path: Path) -> None:
    evidence = clip(tmp_path / "evidence.mp4")
    banks = tmp_path / "banks"
    banks.mkdir()
    matcher = Matcher.open(banks)
    frame = next(luma.copy() for _, _, luma in frames_of(evidence))
    assert matcher.query(frame) == ()

    whole: dict[str, Any] = {"stretch_ms": (0, 60_000), "calm_until_ms": -1}
    assert bank_incident(banks, "in_1", evidence, "fight", added_ms=5, **whole).frames >= 8
    with pytest.raises(AlreadyExists):
        bank_incident(banks, "in_1", evidence, "fight", added_ms=6, **whole)
    assert matcher.reload()
    found = matcher.query(frame)[0]
    assert (found.entry, found.bank, found.label) == ("in_1", INCIDENT_BANK, "fight")

    assert withdraw_incident(banks, "in_1")
    assert not withdraw_incident(banks, "in_1")
    assert matcher.reload()
    assert matcher.query(frame) == ()
    assert not withdraw_incident(tmp_path, "in_1")


def test_evidence_that_cannot_be_decoded_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0" * 1000)
    with pytest.raises(BrokenMedia):
        bank_incident(tmp_path, "in_1", broken, "fight", added_ms=0, stretch_ms=(0, 60_000), calm_until_ms=-1)
