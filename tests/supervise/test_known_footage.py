"""Entries that run away are quarantined by the supervisor, which sees all streams, and it is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from edge.clock import ManualClock
from edge.domain import Signal, SignalSource
from edge.match import Bank, BankInfo, Entry, EntryKind, Footage, HashRun
from edge.supervise.known_footage import KnownFootage
from edge.telemetry.metrics import Metrics

CARD = Signal(SignalSource.MATCH, "known_footage", 0, 0.9, entry="card", detail="bank=known hits=3/5")


def test_an_entry_that_matches_too_many_streams_is_quarantined_counted_and_said(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known", BankInfo(runaway_streams=2))
    bank.add(
        [
            Footage(Entry(name, EntryKind.IMAGE), (HashRun(bytes([n] * 32)),))
            for n, name in enumerate(("card", "film"))
        ]
    )
    metrics, changed = Metrics(), list[None]()
    known = KnownFootage(tmp_path, metrics, ManualClock(), lambda: changed.append(None))

    async def matched(*streams: str) -> None:
        for stream in streams:
            await known.matched(stream, (CARD,))

    asyncio.run(matched("st_1", "st_2", "st_1", "st_2"))
    assert Bank.open(tmp_path / "known").manifest.quarantined == ()
    assert not changed
    with capture_logs() as said:
        asyncio.run(matched("st_3"))
    assert Bank.open(tmp_path / "known").manifest.quarantined == ("card",)
    assert len(changed) == 1
    assert [(line["log_level"], line["entry"]) for line in said] == [("critical", "card")]
    assert metrics.quarantined_entries._value.get() == 1


def test_what_is_no_match_of_a_bank_that_is_there_is_not_counted(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known", BankInfo(runaway_streams=1))
    changed = list[None]()
    known = KnownFootage(tmp_path, Metrics(), ManualClock(), lambda: changed.append(None))
    detected = Signal(SignalSource.DETECT, "fight", 0, 0.9)
    gone = Signal(SignalSource.MATCH, "known_footage", 0, 0.9, entry="card", detail="bank=gone hits=3/5")

    async def matched() -> None:
        for stream in ("st_1", "st_2", "st_3"):
            await known.matched(stream, (detected, gone))

    with capture_logs() as said:
        asyncio.run(matched())
    assert not changed
    assert {line["event"] for line in said} == {"match not counted"}
