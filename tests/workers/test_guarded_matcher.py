"""A bank that cannot be searched costs its own matches, no stream and no worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from edge.clock import ManualClock
from edge.match import Bank, Entry, EntryKind, Footage, HashRun, Matcher, PdqHasher
from edge.match.bank.bank_set import OpenBank
from edge.workers.banks import WorkerBanks
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.guarded_matcher import GuardedMatcher

LUMA = np.random.default_rng(3).integers(0, 255, (128, 128), dtype=np.uint8)


@pytest.fixture
def page() -> CurrentStreamPage:
    return CurrentStreamPage(CurrentStreamPage.create())


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    bits = PdqHasher().hash(LUMA).bits
    for name in ("known", "other"):
        Bank.create(tmp_path / name).add_footage([Footage(Entry(name, EntryKind.IMAGE), (HashRun(bits),))])
    return tmp_path


def test_a_search_that_fails_is_counted_and_costs_no_other_bank(
    copies: Path, page: CurrentStreamPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OpenBank.candidates

    def candidates(opened: OpenBank, *arguments: Any) -> Any:
        if opened.bank.name == "known":
            raise IndexError("index 7 is out of bounds")
        return real(opened, *arguments)

    monkeypatch.setattr(OpenBank, "candidates", candidates)
    matcher = GuardedMatcher.of_worker(copies, page)
    with capture_logs() as said:
        for _ in range(5):
            assert [c.entry for c in matcher.query(LUMA)] == ["other"]
    assert matcher.searches_failed >= 5
    assert len(said) < 5
    assert WorkerBanks(matcher, ManualClock()).searches_failed == matcher.searches_failed
    with pytest.raises(IndexError):
        Matcher.open(copies).query(LUMA)


def test_the_page_says_that_the_loop_searches_banks_while_it_does(
    copies: Path, page: CurrentStreamPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, str | None]] = []
    real = OpenBank.candidates

    def candidates(opened: OpenBank, *arguments: Any) -> Any:
        seen.append((page.in_matcher, page.culprit()))
        return real(opened, *arguments)

    monkeypatch.setattr(OpenBank, "candidates", candidates)
    matcher = GuardedMatcher.of_worker(copies, page)
    page.enter("st_innocent")
    matcher.query(LUMA)
    assert set(seen) == {(True, None)}
    assert (page.in_matcher, page.culprit()) == (False, "st_innocent")


def test_a_copy_that_has_shrunk_is_left_out_and_taken_again_once_it_is_whole(
    copies: Path, page: CurrentStreamPage
) -> None:
    matcher = GuardedMatcher.of_worker(copies, page)
    (segment,) = Bank.open(copies / "known").segments
    whole = segment.path.read_bytes()
    os.truncate(segment.path, 0)
    banks = matcher.read_anew((), strict=False)
    assert "known is left out" in banks.unreadable[0]
    assert banks.names == {"other"}
    segment.path.unlink()
    segment.path.write_bytes(whole)
    matcher.banks = matcher.read_anew((), strict=False)
    assert sorted(c.entry for c in matcher.query(LUMA)) == ["known", "other"]


def test_a_bank_that_was_replaced_under_a_mapping_is_mapped_anew(
    copies: Path, page: CurrentStreamPage
) -> None:
    matcher = GuardedMatcher.of_worker(copies, page)
    before = {opened.bank.name: opened.bank.segments[0] for opened in matcher.banks.banks}
    path = before["known"].path
    again = path.with_suffix(".again")
    again.write_bytes(path.read_bytes())
    again.replace(path)
    after = {o.bank.name: o.bank.segments[0] for o in matcher.read_anew((), strict=False).banks}
    assert after["known"] is not before["known"]
    assert after["other"] is before["other"]
