"""Watchers learn of each change of an incident and go on where they were. A slow one costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.domain import Action, CaseStanding, Incident, IncidentState, Publish, Severity, Verdict, new_id
from edge.errors import CapacityExceeded, LedgerUnavailable
from edge.ladder import Sanction
from edge.ledger import EvidenceRead, Ledger
from edge.supervise import incident_feed
from edge.supervise.incident_feed import IncidentNews
from tests.supervise.gate_without_workers import PATIENCE_S, Bench, gate_without_workers


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with gate_without_workers(tmp_path) as running:
        yield running


def incident(action: Action = Action.FLAG, broadcaster: str = "anna") -> Incident:
    return Incident(
        new_id("in"),
        new_id("st"),
        Publish("test", "7", "live", "show", broadcaster),
        Verdict(action, 1000, 900, "fight", score=0.9),
        SystemClock().wall_ms(),
    )


def open_incident(ledger: Ledger) -> str:
    opened = incident()
    ledger.record_incident(opened, opened.created_ms)
    return opened.id


async def heard(feed: AsyncIterator[IncidentNews]) -> IncidentNews:
    return await asyncio.wait_for(anext(feed), PATIENCE_S)


async def change(feed: AsyncIterator[IncidentNews]) -> tuple[str, str, str]:
    news = await heard(feed)
    assert news.change is not None
    return news.change.incident.id, news.change.what, news.change.by


async def test_each_change_of_an_incident_is_told_in_order(bench: Bench) -> None:
    feed = bench.gate.incident_feed.follow()
    assert (await heard(feed)).resync, "list first, then follow"
    ident = open_incident(bench.ledger)
    assert await change(feed) == (ident, "incident", "gate")
    await bench.gate.reviews.claim(ident, "rita")
    assert await change(feed) == (ident, "claim", "rita")
    await bench.gate.reviews.review(ident, IncidentState.OVERTURNED, "sport", "rita")
    news = await heard(feed)
    assert news.change is not None
    assert news.change.incident.state is IncidentState.OVERTURNED


async def test_what_an_incident_led_to_is_a_change_of_it(bench: Bench) -> None:
    cut = incident(Action.CUT)
    bench.ledger.record_violation(cut, Sanction(severity=Severity.SEVERE), cut.created_ms)
    strike = bench.ledger.case(cut.id).strike
    assert strike is not None
    feed = bench.gate.incident_feed.follow()
    await heard(feed)
    await bench.gate.actions.pardon_strike(strike.id, "a mistake", "rita")
    assert await change(feed) == (cut.id, "pardon", "rita")
    await bench.gate.reviews.file_appeal("It was sport.", "shop", incident_id=cut.id, block_id=None)
    assert (await change(feed))[0] == cut.id


async def test_a_watcher_goes_on_where_it_was_at_any_gate(bench: Bench, tmp_path: Path) -> None:
    idents = [open_incident(bench.ledger) for _ in range(4)]
    feed = bench.gate.incident_feed.follow(1)
    news = await heard(feed)
    assert news.change is not None
    assert news.change.incident.id == idents[1]
    async with gate_without_workers(tmp_path / "other", ledger=tmp_path / "ledger.db") as other:
        again = other.gate.incident_feed.follow(news.number)
        assert [(await change(again))[0] for _ in idents[2:]] == idents[2:]


async def test_several_changes_of_one_incident_are_one_with_its_newest_state(bench: Bench) -> None:
    ident = open_incident(bench.ledger)
    at = bench.ledger.head().number
    for by in ("rita", "rolf"):
        await bench.gate.reviews.claim(ident, by)
        await bench.gate.reviews.release(ident, by)
    feed = bench.gate.incident_feed.follow(at)
    news = await heard(feed)
    assert news.change is not None
    assert (news.change.what, news.change.by) == ("release", "rolf")
    assert news.number == bench.ledger.head().number


async def test_who_looks_at_evidence_is_no_change(bench: Bench) -> None:
    ident = open_incident(bench.ledger)
    feed = bench.gate.incident_feed.follow()
    await heard(feed)
    bench.ledger.note_evidence_reads([EvidenceRead(ident, "clip", "rita")], 1)
    other = open_incident(bench.ledger)
    assert (await change(feed))[0] == other


@pytest.mark.parametrize("limit", ["MOST_BEHIND", "_KEPT"])
async def test_a_slow_watcher_lists_anew_or_reads_from_the_ledger(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    feed, other = bench.gate.incident_feed.follow(), bench.gate.incident_feed.follow()
    await heard(feed)
    await heard(other)
    if limit == "MOST_BEHIND":
        monkeypatch.setattr(incident_feed, "MOST_BEHIND", 2)
    else:
        monkeypatch.setattr(incident_feed, "_KEPT", 2)
        bench.gate.incident_feed._kept = type(bench.gate.incident_feed._kept)(maxlen=2)
    idents = []
    for _ in range(5):  # one page each
        idents.append(open_incident(bench.ledger))
        assert (await change(other))[0] == idents[-1]
    news = await heard(feed)
    if limit == "MOST_BEHIND":
        head = bench.ledger.head()
        assert news == IncidentNews(head.number, head.digest, resync=True)
    else:
        rest = [(await change(feed))[0] for _ in idents[1:]]
        assert news.change is not None
        assert [news.change.incident.id, *rest] == idents
    assert len(bench.gate.incident_feed._kept) <= incident_feed._KEPT


async def test_a_database_that_lost_commits_is_listed_anew(bench: Bench) -> None:
    for _ in range(3):
        open_incident(bench.ledger)
    feed = bench.gate.incident_feed.follow()
    await heard(feed)
    lose_commits(bench.ledger, after=1)
    head = bench.ledger.head()
    assert await heard(feed) == IncidentNews(1, head.digest, resync=True)
    assert (await heard(bench.gate.incident_feed.follow(10_000))).resync, "a number that nobody gave"


async def test_a_watcher_hears_something_while_the_ledger_is_busy_with_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident_feed, "QUIET_S", 1.0)
    ident = open_incident(bench.ledger)
    calm = bench.gate.incident_feed.follow()
    narrow = bench.gate.incident_feed.follow(wanted=lambda change: False)
    await heard(calm)
    await heard(narrow)
    writing = asyncio.create_task(busy(bench, ident))
    for feed in (calm, narrow):
        news = await heard(feed)
        assert (news.change, news.resync) == (None, False)
    writing.cancel()


async def busy(bench: Bench, ident: str) -> None:
    """The audit log gets entries that are no change of an incident."""
    for _ in range(int(PATIENCE_S / 0.1)):
        bench.ledger.note_evidence_reads([EvidenceRead(ident, "clip", "rita")], 1)
        await asyncio.sleep(0.1)


async def test_who_breaks_off_within_one_entry_is_told_of_all_of_it_again(bench: Bench) -> None:
    one, two = open_incident(bench.ledger), open_incident(bench.ledger)
    feed = bench.gate.incident_feed.follow()
    await heard(feed)
    bench.ledger.ask_erasure("anna", "the law", "rita", 1)
    first, second = await heard(feed), await heard(feed)
    assert second.number == bench.ledger.head().number
    again = bench.gate.incident_feed.follow(first.number)
    assert {(await change(again))[0], (await change(again))[0]} == {one, two}


async def test_watching_ends_with_the_gate(bench: Bench) -> None:
    feed = bench.gate.incident_feed.follow()
    await heard(feed)
    waiting = asyncio.ensure_future(anext(feed))
    await asyncio.sleep(0)
    bench.gate.incident_feed.close()
    with pytest.raises(CapacityExceeded, match="stopping"):
        await asyncio.wait_for(waiting, PATIENCE_S)


async def test_nobody_asks_the_ledger_while_nobody_watches(bench: Bench) -> None:
    feed = bench.gate.incident_feed.follow()
    await heard(feed)
    reader = bench.gate.incident_feed._reader
    assert reader is not None
    await feed.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(reader, PATIENCE_S)
    again = bench.gate.incident_feed.follow()
    await heard(again)
    ident = open_incident(bench.ledger)
    assert (await change(again))[0] == ident


def lose_commits(ledger: Ledger, after: int) -> None:
    """As when a standby takes over that had not got the newest ones."""
    with ledger._database.write_transaction("restore") as connection:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS audit_is_append_only_delete")
        connection.exec_driver_sql(f"DELETE FROM audit WHERE number > {after}")


async def test_lost_commits_show_also_where_others_have_taken_their_numbers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        open_incident(bench.ledger)
    monkeypatch.setattr(incident_feed, "POLL_S", 1.0)  # no look in between
    feed = bench.gate.incident_feed.follow()
    told = await heard(feed)
    assert told.resync
    lose_commits(bench.ledger, after=1)
    for _ in range(4):
        open_incident(bench.ledger)
    head = bench.ledger.head()
    assert head.number > told.number
    assert await heard(feed) == IncidentNews(head.number, head.digest, resync=True)


async def test_who_comes_back_after_commits_were_lost_lists_anew(bench: Bench) -> None:
    for _ in range(3):
        open_incident(bench.ledger)
    first = await heard(bench.gate.incident_feed.follow(1))
    assert first.number == 2
    assert first.digest
    again = await heard(bench.gate.incident_feed.follow(first.number, digest=first.digest))
    assert (again.number, again.resync) == (3, False), "it goes on"
    lose_commits(bench.ledger, after=1)
    for _ in range(3):
        open_incident(bench.ledger)
    assert (await heard(bench.gate.incident_feed.follow(first.number, digest=first.digest))).resync


async def test_each_place_that_a_watcher_names_is_found_again(bench: Bench) -> None:
    """Also the one between two changes of one entry."""
    for _ in range(2):
        open_incident(bench.ledger)
    bench.ledger.ask_erasure("anna", "the law", "rita", 1)
    open_incident(bench.ledger)
    at = IncidentNews(1, next(bench.ledger.audit_rows()).digest)
    told = []
    for _ in range(3):
        at = await heard(bench.gate.incident_feed.follow(at.number, digest=at.digest))
        assert not at.resync
        told.append(at.number)
    assert told == [2, 2, 2], "who breaks off there is told of the whole entry again"


async def test_a_gate_that_was_restarted_goes_on(bench: Bench, tmp_path: Path) -> None:
    told = await heard(bench.gate.incident_feed.follow())
    missed = open_incident(bench.ledger)
    async with gate_without_workers(tmp_path / "again", ledger=tmp_path / "ledger.db") as again:
        news = await heard(again.gate.incident_feed.follow(told.number or 1, digest=told.digest))
        assert news.resync, "nothing was there yet"
        open_incident(bench.ledger)
        news = await heard(again.gate.incident_feed.follow(news.number, digest=news.digest))
        assert news.change is not None
        assert news.change.incident.id != missed


async def test_a_ledger_that_is_away_for_a_while_ends_no_watching(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = bench.gate.incident_feed.follow()
    await heard(feed)
    asked, changes = asyncio.Event(), bench.ledger.incident_changes
    loop = asyncio.get_running_loop()

    def away(*_: object) -> None:
        loop.call_soon_threadsafe(asked.set)
        raise LedgerUnavailable("the primary is gone")

    monkeypatch.setattr(bench.ledger, "incident_changes", away)
    missed = open_incident(bench.ledger)
    waiting = asyncio.ensure_future(change(feed))
    await asyncio.wait_for(asked.wait(), PATIENCE_S)
    monkeypatch.setattr(bench.ledger, "incident_changes", changes)
    assert (await waiting)[0] == missed


async def test_how_an_incident_stands_is_read_once_for_all_watchers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds = [bench.gate.incident_feed.follow() for _ in range(5)]
    for feed in feeds:
        await heard(feed)
    read, standings = list[int](), bench.ledger.standings

    def counted(ids: Collection[str], wall_ms: int) -> dict[str, CaseStanding]:
        read.append(len(ids))
        return standings(ids, wall_ms)

    monkeypatch.setattr(bench.ledger, "standings", counted)
    cut = incident(Action.CUT)
    bench.ledger.record_violation(cut, Sanction(severity=Severity.SEVERE), cut.created_ms)
    for feed in feeds:
        assert (await heard(feed)).standing == CaseStanding(provisional=True)
    assert read == [1]
