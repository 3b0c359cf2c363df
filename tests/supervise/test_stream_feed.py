"""Watchers see the live streams, and each that begins, changes or ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.domain import Action
from edge.errors import Conflict, LedgerUnavailable, NotFound
from edge.reasons import EndReason
from edge.supervise import stream_feed
from edge.supervise.stream_feed import StreamNews
from tests.supervise.gate_without_workers import PATIENCE_S, Bench, gate_without_workers


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with gate_without_workers(tmp_path) as running:
        yield running


async def heard(feed: AsyncIterator[StreamNews]) -> StreamNews:
    return await asyncio.wait_for(anext(feed), PATIENCE_S)


async def test_live_streams_come_first_and_then_what_changes(bench: Bench) -> None:
    first = await bench.watched("7", "one", "anna")
    feed = bench.gate.stream_feed.follow()
    assert (await heard(feed)).resync
    news = await heard(feed)
    assert news.stream is not None
    assert news.stream.id == first
    second = await bench.watched("8", "two", "berta")
    while True:
        news = await heard(feed)
        assert news.stream is not None
        if news.stream.id == second:
            break
    bench.gate.router.ends.forget(bench.gate.registry.get(first), EndReason.UNWATCHED)
    while not (news := await heard(feed)).ended:
        assert news.stream is not None
        assert news.stream.id == second
    assert news.ended == first


async def test_a_watcher_goes_on_where_it_was(bench: Bench) -> None:
    streams = [await bench.watched(str(n), f"show-{n}", f"who-{n}") for n in range(3)]
    feed = bench.gate.stream_feed.follow()
    told = [await heard(feed) for _ in range(4)]
    assert [news.stream and news.stream.id for news in told[1:]] == streams
    again = bench.gate.stream_feed.follow(bench.gate.stream_feed.run, told[2].number)
    news = await heard(again)
    assert news.stream is not None
    assert news.stream.id == streams[2]
    other = bench.gate.stream_feed.follow("run_of_another_gate", told[2].number)
    assert (await heard(other)).resync


async def test_a_watcher_that_missed_too_many_ends_begins_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_feed, "_ENDED", 1)
    await bench.watched("first", "first", "first")
    feed = bench.gate.stream_feed.follow()
    assert [(await heard(feed)).resync, (await heard(feed)).resync] == [True, False]
    gone = [await bench.watched(str(n), f"show-{n}", f"who-{n}") for n in range(3)]
    await bench.gate.stream_feed._look()
    for stream_id in gone:
        bench.gate.router.ends.forget(bench.gate.registry.get(stream_id), EndReason.UNWATCHED)
    await bench.gate.stream_feed._look()
    assert (await heard(feed)).resync
    news = await heard(feed)
    assert news.stream is not None
    assert news.stream.id not in gone


async def test_a_stream_is_told_of_for_its_counts_only_now_and_then(bench: Bench) -> None:
    stream = bench.gate.registry.get(await bench.watched())
    feed = bench.gate.stream_feed
    await feed._look()
    before = feed._number
    stream.samples += 1
    await feed._look()
    assert feed._number == before
    stream.score = 0.5
    await feed._look()
    assert feed._number == before + 1


async def test_a_person_cuts_a_stream_and_the_record_says_who(bench: Bench) -> None:
    stream_id = await bench.watched()
    assert await bench.gate.actions.cut_stream(stream_id, "indecent", "rita", None) is None
    assert bench.gate.registry.get(stream_id).cutting
    await bench.until(lambda: bench.server.asked == [stream_id])
    [ordered] = [row for row in bench.ledger.audit_rows() if row.what == "cut_ordered"]
    assert (ordered.who, ordered.subject) == ("rita", stream_id)
    assert "indecent" in ordered.detail
    with pytest.raises(Conflict, match="being cut already"):
        await bench.gate.actions.cut_stream(stream_id, "again", "rolf", None)
    with pytest.raises(NotFound):
        await bench.gate.actions.cut_stream("st_none", "again", "rolf", None)
    assert bench.ledger.blocks(wall_ms=bench.gate.clock.wall_ms()) == ()


@pytest.mark.parametrize("missing", ["note_ordered_cut", "add_block"])
async def test_a_person_cuts_while_the_ledger_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("note: no connection")

    monkeypatch.setattr(bench.gate._context.operator_ledger, missing, away)
    stream_id = await bench.watched()
    with pytest.raises(LedgerUnavailable, match="is being cut, and its broadcaster is not blocked: note: no"):
        await bench.gate.actions.cut_stream(stream_id, "indecent", "rita", 60_000)
    assert bench.gate.registry.get(stream_id).cutting
    await bench.until(lambda: bench.server.asked == [stream_id])
    if missing == "note_ordered_cut":
        other = await bench.watched("8", "two", "berta")
        assert await bench.gate.actions.cut_stream(other, "indecent", "rita", None) is None
        assert bench.gate.registry.get(other).cutting


def cuts_of(bench: Bench) -> dict[str, str]:
    """The reasons of the cuts on record, by stream."""
    rows = [row for row in bench.ledger.audit_rows() if row.what == "stream_cut"]
    return {row.subject: json.loads(row.detail)["reason"] for row in rows}


async def test_a_cut_with_a_block_refuses_the_return(bench: Bench) -> None:
    stream_id = await bench.watched("7", "one", "anna")
    other = await bench.watched("8", "two", "anna")
    block = await bench.gate.actions.cut_stream(stream_id, "indecent", "rita", 60_000)
    assert block is not None
    assert (block.subject, block.created_by) == ("anna", "rita")
    assert bench.gate.registry.get(other).cutting, "a block cuts every stream of its subject"
    await bench.until(lambda: len(cuts_of(bench)) == 2)
    assert cuts_of(bench) == {stream_id: "operator", other: "blocked"}
    assert not (await bench.admit("9", "one", "anna")).allowed
    await bench.until(lambda: bench.gate.registry.get(stream_id).action is Action.CUT)


async def test_a_number_that_nobody_gave_begins_anew(bench: Bench) -> None:
    stream_id = await bench.watched()
    feed = bench.gate.stream_feed
    assert (await heard(feed.follow())).resync
    for run, after in ((feed.run, feed._number + 1), ("", feed._number), (feed.run, -1)):
        again = feed.follow(run, after)
        assert (await heard(again)).resync
        news = await heard(again)
        assert news.stream is not None
        assert news.stream.id == stream_id


async def test_sequences_of_a_gate_say_nothing_at_another_or_after_its_restart(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.watched()
    told = bench.gate.stream_feed
    await heard(told.follow())
    async with gate_without_workers(tmp_path / "again", ledger=tmp_path / "ledger.db") as again:
        await again.watched("8", "two", "berta")
        await again.watched("9", "three", "carla")
        assert (await heard(again.gate.stream_feed.follow(told.run, told._number))).resync
