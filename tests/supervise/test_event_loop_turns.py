"""What the gate does for many streams at once leaves Admit and the verdicts their turns."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from edge import confusables
from edge.domain import Publish, StreamId
from edge.policy import MAX_OVERRIDES, NameCase, Policy
from edge.supervise.live_stream import LiveStream
from edge.supervise.stream_journal import JournalledStream, StreamJournal
from tests.slow_callbacks import slow_callbacks
from tests.supervise.gate_without_workers import SERVER, Bench, gate_without_workers

STREAMS, MANY = 1_024, 10_000


def stream(number: int) -> LiveStream:
    attributes = {"tenant": f"tenant-{number % MAX_OVERRIDES}", "stream_key": f"key-{number}" * 4}
    app = f"app-{number // MAX_OVERRIDES % MAX_OVERRIDES}"
    publish = Publish(SERVER, f"c{number}", app, f"show{number}", f"user{number}", "", attributes)
    return LiveStream(StreamId(f"st_{number:06}"), publish, 0, 0.0)


def policy(budget_ms: int, case: NameCase = NameCase.PRESERVED) -> Policy:
    return Policy(
        budget_ms=budget_ms,
        names={"case": case},
        apps={f"app-{number}": {"budget_ms": budget_ms + number} for number in range(MAX_OVERRIDES)},
        tenants={f"tenant-{n}": {"tiers": {"burst_ms": 100 + n}} for n in range(MAX_OVERRIDES)},
    )


def watched(bench: Bench, count: int) -> None:
    """Streams that are watched by workers, each under a resolved policy of its own."""
    for number in range(count):
        one = stream(number)
        bench.gate.registry._streams[one.id] = one
        bench.workers.streams.add(one.id)
        one.life.opened()
        one.source_opened = True


async def test_a_policy_to_1024_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with gate_without_workers(tmp_path, policy(250)) as bench:
        watched(bench, STREAMS)
        changed = policy(300, NameCase.MAPPED)

        async def change() -> None:
            task = bench.gate.actions.apply_policy(changed)
            assert task is not None
            await task

        with slow_callbacks(monkeypatch) as slow:
            await asyncio.get_running_loop().create_task(change())
        told = [command for _, command in bench.workers.sent if command.HasField("set_policy")]
        assert len(told) == STREAMS
        assert not slow


async def test_the_journal_of_10000_live_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = StreamJournal(tmp_path / "streams.jsonl", {SERVER})
    journal.load()
    streams = [stream(number) for number in range(MANY)]
    kept = [JournalledStream(one.id, one.publish, one.started_ms) for one in streams]
    for one in kept:
        journal.admitted(one)

    async def change() -> None:
        for number in range(6 * MANY):  # long enough that the file is written anew
            one = kept[number % MANY]
            journal.over(one.id)
            journal.admitted(replace(one, id=StreamId(f"{one.id}-{number}")))
            journal.over(StreamId(f"{one.id}-{number}"))
            journal.admitted(one)
            if number % 64 == 0:
                await asyncio.sleep(0)

    with slow_callbacks(monkeypatch) as slow:
        await asyncio.get_running_loop().create_task(change())
    assert not slow


async def test_a_start_with_10000_live_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That an earlier gate has left."""
    journal = StreamJournal(tmp_path / "streams.jsonl", {SERVER})
    journal.load()
    for one in map(stream, range(MANY)):
        journal.admitted(JournalledStream(one.id, one.publish, one.started_ms))
    journal.close()
    async with gate_without_workers(tmp_path, limits={"max_streams": MANY}) as bench:
        with slow_callbacks(monkeypatch) as slow:
            await asyncio.get_running_loop().create_task(bench.gate.start())
            await asyncio.sleep(0.1)
        assert not slow
        assert len(bench.gate.registry) == MANY
        bench.gate.registry._streams.clear()


async def test_a_sweep_and_a_page_of_10000_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with gate_without_workers(tmp_path) as bench:
        watched(bench, MANY)

        async def look() -> None:
            bench.gate.upkeep.measure()
            await bench.gate.upkeep.forget_unwatched()
            bench.gate.registry.page(1000, "")

        confusables._prototypes.cache_clear()
        confusables._ascii_prototypes.cache_clear()
        with slow_callbacks(monkeypatch) as slow:
            await bench.gate.start()
            await asyncio.get_running_loop().create_task(look())
            bench.gate._blocks_changed(())
            await bench.block("user7")
            await asyncio.sleep(0.1)
        bench.gate.registry._streams.clear()
        assert not slow
