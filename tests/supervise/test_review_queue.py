"""The queue holds all that waits, in order, follows each change, and costs no more for many open pages."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge.clock import ManualClock
from edge.domain import Action, Incident, IncidentState, Publish, Severity, Verdict, new_id
from edge.errors import Conflict, NotFound
from edge.ledger import records
from edge.ledger.tables import incidents
from edge.policy import CategoryPolicy, Mode, Policy, QueuePolicy, ReviewPolicy, SecondLevel
from edge.supervise.review_queue import RANKED_MS, QueueFilter
from edge.telemetry.records import IncidentLookedAt, ReviewsWaiting, ReviewUndone
from tests.supervise.gate_without_workers import Bench, gate_without_workers

POLICY = Policy(
    mode=Mode.ENFORCE,
    categories={"fight": CategoryPolicy(), "gunfire": CategoryPolicy(severity=Severity.SEVERE)},
    apps={"arabic": {"queue": {"language": "ar"}}},
    tenants={"acme": {"review": {"second_level": "admin"}}},
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def bench(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Bench]:
    async with gate_without_workers(tmp_path, policy=POLICY, clock=clock) as running:
        yield running


def waits(bench: Bench, *, app: str = "live", tenant: str = "", **given: Any) -> str:
    """An incident of a stream that is over."""
    attributes = {"tenant": tenant} if tenant else {}
    publish = Publish("test", "7", app, "show", given.pop("broadcaster", "anna"), attributes=attributes)
    verdict = Verdict(Action.FLAG, 1000, 900, **{"category": "fight", "score": 0.5, **given})
    incident = Incident(new_id("in"), new_id("st"), publish, verdict, bench.gate.clock.wall_ms())
    bench.ledger.record_incident(incident, incident.created_ms)
    return incident.id


async def shown(bench: Bench, **wanted: str) -> list[str]:
    return [queued.waiting.id for queued in (await bench.gate.queue.view(QueueFilter(**wanted))).queued]


async def test_the_most_urgent_is_first_and_each_change_is_followed(bench: Bench, clock: ManualClock) -> None:
    low, high = waits(bench, score=0.3), waits(bench, score=0.9)
    severe = waits(bench, category="gunfire")
    assert await shown(bench) == [severe, high, low]
    await bench.gate.reviews.review(low, IncidentState.ESCALATED, "?", "rita")
    assert await shown(bench) == [severe, low, high]
    await bench.gate.reviews.review(severe, IncidentState.OVERTURNED, "a film", "rita")
    assert await shown(bench) == [low, high]
    await bench.gate.reviews.undo(severe, "rita")
    assert await shown(bench) == [severe, low, high]
    view = await bench.gate.queue.view()
    assert view.counts["state"] == {"open": 2, "escalated": 1}
    assert view.counts["severity"] == {"severe": 1, "normal": 2}


async def test_live_streams_and_strikes_move_what_waits(bench: Bench, clock: ManualClock) -> None:
    first = waits(bench)
    stream_id = await bench.watched(broadcaster="bert")
    bench.judged(stream_id, Action.FLAG)
    await bench.until(lambda: len(bench.ledger.incidents()) == 2)
    [live] = [each.id for each in bench.ledger.incidents() if each.id != first]
    assert await shown(bench, only="live") == [live]
    assert await shown(bench) == [live, first]
    await bench.gate.actions.add_strike("anna", "live", "fight", Severity.NORMAL, "?", "rita", None)
    clock.advance_ms(RANKED_MS)
    view = await bench.gate.queue.view()
    assert {queued.waiting.id: queued.strikes for queued in view.queued} == {first: 1, live: 0}


async def test_it_is_filtered_and_counted(bench: Bench) -> None:
    plain, arabic = waits(bench), waits(bench, app="arabic")
    acme, severe = waits(bench, tenant="acme"), waits(bench, category="gunfire")
    for wanted, found in (
        ({"category": "gunfire"}, {severe}),
        ({"app": "arabic"}, {arabic}),
        ({"language": "ar"}, {arabic}),
        ({"tenant": "acme"}, {acme}),
        ({"severity": "severe"}, {severe}),
        ({"severity": "normal", "app": "live"}, {plain, acme}),
        ({"state": "escalated"}, set()),
        ({"only": "mine", "name": "rita"}, set()),
    ):
        assert set(await shown(bench, **wanted)) == found, wanted
    await bench.gate.reviews.claim(plain, "rita")
    assert await shown(bench, only="mine", name="rita") == [plain]
    assert plain not in await shown(bench, only="free", name="omar")
    view = await bench.gate.queue.view(QueueFilter(app="arabic"), 0)
    assert (view.queued, view.matching, view.total) == ((), 1, 4)
    assert view.counts["language"] == {"": 3, "ar": 1}


async def test_a_policy_ranks_all_anew(bench: Bench) -> None:
    fight, gunfire = waits(bench, score=0.9), waits(bench, category="gunfire")
    assert await shown(bench) == [gunfire, fight]
    weights = {name: 0.0 for name in ("severity", "live", "viewers", "on_air", "waiting", "history")}
    queue = QueuePolicy.model_validate({"weights": {**weights, "score": 1.0}})
    current = bench.ledger.policy_current()
    await bench.gate.actions.set_policy(
        POLICY.model_copy(update={"queue": queue}), "root", "", 0 if current is None else current.version
    )
    assert await shown(bench) == [fight, gunfire]


async def test_everything_is_read_once_and_then_what_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.ledger.incident(waits(bench))
    with bench.ledger._database.write_transaction("many") as connection:
        for number in range(600):
            row = records.incident_to_row(dataclasses.replace(one, id=f"in_{number:032d}"))
            connection.execute(incidents.insert().values(**row, gate=""))
    reads = bench.ledger.fail("waiting_incidents")
    assert (await bench.gate.queue.view()).total == 601
    assert len(reads) == 3
    assert (await bench.gate.queue.view()).total == 601
    waits(bench)
    assert (await bench.gate.queue.view()).total == 602
    assert len(reads) == 3


async def test_a_row_of_a_newer_gate_hides_nothing(bench: Bench) -> None:
    known, strange = waits(bench), waits(bench)
    with bench.ledger._database.write_transaction("a newer gate") as connection:
        broken = incidents.update().where(incidents.c.id == strange)
        connection.execute(broken.values(verdict='{"action": "melt"}'))
    assert await shown(bench) == [known]


async def test_the_next_job_is_the_most_urgent_that_one_may_decide(bench: Bench) -> None:
    reviews, free = bench.gate.reviews, QueueFilter(only="free", name="rita")
    senior = waits(bench, tenant="acme", score=0.9)
    await reviews.review(senior, IncidentState.ESCALATED, "?", "omar")
    high, low = waits(bench, score=0.8), waits(bench, score=0.3)
    assert (await reviews.claim_next(free, "rita", senior=False)).id == high
    assert (await reviews.claim_next(QueueFilter(), "omar", senior=False)).id == low
    with pytest.raises(NotFound):
        await reviews.claim_next(free, "rita", senior=False)
    assert (await reviews.claim_next(free, "rita", senior=True)).id == senior


async def test_a_claim_that_lapses_comes_back_where_it_was(bench: Bench, clock: ManualClock) -> None:
    high, low = waits(bench, score=0.8), waits(bench, score=0.3)
    claimed = await bench.gate.reviews.claim_next(QueueFilter(), "rita", senior=False)
    assert claimed.id == high
    assert await shown(bench) == [high, low]
    clock.advance_ms(POLICY.review.claim_ms)
    assert await shown(bench, only="free", name="omar") == [high, low]
    assert (await bench.gate.reviews.claim_next(QueueFilter(), "omar", senior=False)).id == high


async def test_claims_are_bounded_by_the_policy(tmp_path: Path) -> None:
    policy = Policy(queue=QueuePolicy(claims=1), review=ReviewPolicy(second_level=SecondLevel.ANOTHER))
    async with gate_without_workers(tmp_path, policy=policy) as bench:
        first, second = waits(bench), waits(bench)
        await bench.gate.reviews.claim(first, "rita")
        for taking in (
            bench.gate.reviews.claim(second, "rita"),
            bench.gate.reviews.claim_next(QueueFilter(), "rita", senior=True),
        ):
            with pytest.raises(Conflict, match=r"queue\.claims"):
                await taking


async def test_first_looks_undone_reviews_and_what_waits_are_reported(
    bench: Bench, clock: ManualClock
) -> None:
    one, two = waits(bench), waits(bench)
    clock.advance_ms(5_000)
    await bench.gate.reviews.look(one, "rita")
    await bench.gate.reviews.look(one, "omar")
    clock.advance_ms(5_000)
    await bench.gate.reviews.review(two, IncidentState.ESCALATED, "?", "omar")
    looks = bench.recorded.of(IncidentLookedAt)
    assert [(each.incident.id, each.by, each.waited_s) for each in looks] == [
        (one, "rita", 5.0),
        (two, "omar", 10.0),
    ]
    await bench.gate.upkeep.measure_reviews()
    [waiting] = bench.recorded.of(ReviewsWaiting)
    assert waiting.incidents == {"open": 1, "escalated": 1, "confirmed_once": 0}
    assert waiting.oldest_s == {"open": 10.0, "escalated": 10.0, "confirmed_once": 0.0}
    await bench.gate.reviews.undo(two, "omar")
    [undone] = bench.recorded.of(ReviewUndone)
    assert (undone.incident.state, undone.by) == (IncidentState.OPEN, "omar")
