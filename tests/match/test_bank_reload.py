"""Banks that change under a matcher in use are read in the background and swapped in whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from edge.clock import ManualClock
from edge.errors import BankError
from edge.match import BackgroundReload, Bank, Entry, EntryKind, Footage, HashRun, Matcher, PdqHash
from edge.match.bank.bank_set import Stamp, stamp_of
from edge.match.entry import Candidate
from edge.workers.banks import WorkerBanks

BITS = np.random.default_rng(5).bytes(32)
QUERY = PdqHash(BITS, bytes(32), 100)


def image(name: str, bits: bytes = BITS) -> Footage:
    return Footage(Entry(name, EntryKind.IMAGE), (HashRun(bits),))


def entries(found: tuple[Candidate, ...]) -> list[str]:
    return [c.entry for c in found]


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_queries_go_on_while_a_bank_is_read_and_then_see_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([image("old")])
    matcher = Matcher.open(tmp_path)
    reload = BackgroundReload(matcher)
    reading, go_on, readers = threading.Event(), threading.Event(), []
    real_open = Bank.open

    def slow(*arguments: Any, **options: Any) -> Bank:
        readers.append(threading.current_thread())
        reading.set()
        assert go_on.wait(30)
        return real_open(*arguments, **options)

    bank.add_footage([image("new")])
    monkeypatch.setattr(Bank, "open", slow)
    reload.look()
    assert reading.wait(30)
    assert not reload.take()
    assert entries(matcher.query_hash(QUERY)) == ["old"]
    monkeypatch.setattr(Bank, "open", real_open)
    bank.add_footage([image("newer")])
    reload.look()
    go_on.set()
    until(reload.take)
    assert readers
    assert threading.main_thread() not in readers
    assert {"old", "new"} <= set(entries(matcher.query_hash(QUERY)))
    until(lambda: reload.take() or len(entries(matcher.query_hash(QUERY))) == 3)
    assert entries(matcher.query_hash(QUERY)) == ["old", "new", "newer"]
    reload.look()
    assert not reload.take()


def test_a_disk_that_does_not_answer_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([image("old")])
    reload = BackgroundReload(matcher := Matcher.open(tmp_path))
    answers = threading.Event()

    def slow(directory: Path | None) -> Stamp:
        assert answers.wait(30)
        return stamp_of(directory)

    monkeypatch.setattr("edge.match.bank_reload.stamp_of", slow)
    bank.add_footage([image("new")])
    for _ in range(3):
        reload.look()
        assert not reload.take()
    assert entries(matcher.query_hash(QUERY)) == ["old"]
    answers.set()
    until(reload.take)
    assert entries(matcher.query_hash(QUERY)) == ["old", "new"]


class Worker:
    """The banks of a worker, checked every few seconds of a test clock, and the log of it."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.matcher = Matcher.open(directory, strict=False)
        self.banks = WorkerBanks(self.matcher, self.clock)

    def passes(self, ms: float) -> list[str]:
        """Advances the clock. Returns the log about banks once all reads that it began have ended."""
        with capture_logs() as said:
            for _ in range(int(ms / 1000)):
                self.clock.advance_ms(1000)
                self.banks.check()
                until(lambda: not any(thread.name == "banks" for thread in threading.enumerate()))
            self.banks.check()
        return [line["event"] for line in said]

    @property
    def finds(self) -> list[str]:
        return entries(self.matcher.query_hash(QUERY))


def test_a_bank_that_cannot_be_read_costs_no_other_and_stays_as_it_was(tmp_path: Path) -> None:
    good, bad = Bank.create(tmp_path / "good"), Bank.create(tmp_path / "bad")
    bad.add_footage([image("old")])
    worker = Worker(tmp_path)
    whole = (tmp_path / "bad.bank").read_bytes()
    (tmp_path / "bad.bank").write_bytes(whole[:-9])
    good.add_footage([image("new")])
    said = worker.passes(20_000)
    assert [event for event in said if "cannot be read" in event] == [said[1]]
    assert "torn" in worker.matcher.banks.unreadable[0]
    assert worker.banks.unreadable == 1
    assert sorted(worker.finds) == ["new", "old"]

    started = Worker(tmp_path)
    assert any("cannot be read" in event for event in started.passes(1000))
    assert started.finds == ["new"]
    assert started.banks.hashes == 1
    with pytest.raises(BankError, match="torn"):
        Matcher.open(tmp_path)

    (tmp_path / "bad.bank").write_bytes(whole)
    assert "all banks can be read again" in started.passes(5000)
    assert sorted(started.finds) == ["new", "old"]


def test_what_cannot_be_read_is_tried_again_though_its_bank_is_as_it_was(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([image("old")])
    segment = tmp_path / bank.manifest.segments[0].file
    segment.rename(tmp_path / "elsewhere")
    worker = Worker(tmp_path)
    assert worker.finds == []
    (tmp_path / "elsewhere").rename(segment)
    worker.passes(25_000)
    assert worker.finds == []
    worker.passes(10_000)
    assert worker.finds == ["old"]


def test_a_folder_of_banks_that_goes_away_takes_no_bank_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "banks"
    folder.mkdir()
    Bank.create(folder / "known").add_footage([image("old")])
    worker = Worker(folder)
    folder.rename(tmp_path / "away")
    assert [event for event in worker.passes(10_000) if "cannot be read" in event]
    assert worker.finds == ["old"]
    folder.write_text("not a folder")
    assert [event for event in worker.passes(10_000) if "cannot be read" in event]
    assert worker.finds == ["old"]
    folder.unlink()
    folder.mkdir()
    assert any("banks are gone" in event for event in worker.passes(10_000))
    assert worker.finds == []


def test_searches_that_hit_a_bound_are_counted_and_said_once_a_minute(tmp_path: Path) -> None:
    def near(seed: int) -> bytes:
        number = int.from_bytes(BITS)
        for place in np.random.default_rng(seed).choice(256, 12, replace=False):
            number ^= 1 << int(place)
        return number.to_bytes(32)

    Bank.create(tmp_path / "crowded").add_footage(image(f"e{n}", near(n)) for n in range(600))
    Bank.create(tmp_path / "other").add_footage([image("one")])
    clock = ManualClock()
    matcher = Matcher.open(tmp_path)
    banks = WorkerBanks(matcher, clock)
    with capture_logs() as said:
        banks.check()
        assert not said
        for _ in range(5):
            found = matcher.query_hash(QUERY)
            assert found[0].entry == "one"
            clock.advance_ms(1000)
            banks.check()
        assert banks.cut_short == 5
        clock.advance_ms(60_000)
        banks.check()
        clock.advance_ms(60_000)
        banks.check()
    assert [line["searches"] for line in said if "cut short" in line["event"]] == [
        {"crowded": 1},
        {"crowded": 4},
    ]
