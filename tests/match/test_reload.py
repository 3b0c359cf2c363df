"""Banks that change under a matcher in use: read beside it, swapped in whole."""

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
    bank.add([image("old")])
    matcher = Matcher.open(tmp_path)
    reload = BackgroundReload(matcher)
    reading, go_on, readers = threading.Event(), threading.Event(), []
    real_open = Bank.open

    def slow(*arguments: Any, **options: Any) -> Bank:
        readers.append(threading.current_thread())
        reading.set()
        assert go_on.wait(30)
        return real_open(*arguments, **options)

    bank.add([image("new")])
    monkeypatch.setattr(Bank, "open", slow)
    reload.look()
    assert reading.wait(30)
    assert not reload.take()
    assert entries(matcher.query_hash(QUERY)) == ["old"]
    monkeypatch.setattr(Bank, "open", real_open)
    bank.add([image("newer")])
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


def test_a_damaged_bank_is_said_and_the_ones_in_use_stay(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known")
    bank.add([image("old")])
    matcher = Matcher.open(tmp_path)
    reload = BackgroundReload(matcher)
    path = tmp_path / "known.bank"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    for _ in range(2):
        reload.look()
        with pytest.raises(BankError, match="torn"):
            until(reload.take)
        assert entries(matcher.query_hash(QUERY)) == ["old"]
    path.write_bytes(whole.replace(b"\n", b"\n "))
    reload.look()
    until(reload.take)


def test_searches_that_hit_a_bound_are_counted_and_said_once_a_minute(tmp_path: Path) -> None:
    def near(seed: int) -> bytes:
        number = int.from_bytes(BITS)
        for place in np.random.default_rng(seed).choice(256, 12, replace=False):
            number ^= 1 << int(place)
        return number.to_bytes(32)

    Bank.create(tmp_path / "crowded").add(image(f"e{n}", near(n)) for n in range(600))
    Bank.create(tmp_path / "other").add([image("one")])
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
