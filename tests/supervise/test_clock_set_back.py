"""A wall clock that is set back spoils no record: what follows is dated after what it follows from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge.clock import EventTimes, ManualClock
from edge.domain import (
    Action,
    Incident,
    IncidentState,
    Publish,
    Severity,
    SubjectKind,
    Verdict,
    new_id,
    new_stream_id,
)
from edge.ledger import Ledger
from edge.policy import Policy
from edge.reasons import VerdictReason
from edge.supervise.authority import NOBODY
from edge.supervise.usage_counter import UsageCounter
from tests.set_clock import SetClock
from tests.supervise.gate_without_workers import gate_without_workers

HOUR_MS = 3_600_000
LITTLE_MS = 60_000
NOW = 1_700_000_000_000


def test_times_of_events_keep_their_distances() -> None:
    clock = ManualClock()
    times = EventTimes(clock, clock.wall_ms())
    began = times.wall_ms()
    clock.now_wall_ms -= HOUR_MS
    clock.advance_ms(250)
    assert times.wall_ms() == began + 250


async def test_a_cut_is_dated_in_its_order(tmp_path: Path) -> None:
    clock = SetClock()
    async with gate_without_workers(tmp_path, clock=clock) as bench:
        stream_id = await bench.watched()
        bench.judged(stream_id)
        await bench.until(lambda: bench.server.asked)
        clock.ahead_ms = -HOUR_MS
        bench.server.gone = True
        await bench.until(lambda: bench.ledger.incidents()[0].cut_confirmed_ms)
        [incident] = bench.ledger.incidents()
    assert incident.durable_ms is not None
    assert incident.cut_asked_ms is not None
    assert incident.cut_confirmed_ms is not None
    assert incident.created_ms <= incident.durable_ms <= incident.cut_asked_ms <= incident.cut_confirmed_ms
    assert incident.cut_confirmed_ms - incident.created_ms < LITTLE_MS


async def test_a_cut_of_an_earlier_run_is_confirmed_after_it_was_asked(tmp_path: Path) -> None:
    clock = SetClock()
    async with gate_without_workers(tmp_path, clock=clock) as bench:
        stream_id = await bench.watched()
        bench.judged(stream_id)
        await bench.until(lambda: bench.ledger.incidents() and bench.ledger.incidents()[0].cut_asked_ms)
        [incident] = bench.ledger.incidents()
        clock.ahead_ms = -HOUR_MS
        orphan = dataclasses.replace(
            incident, stream_id="st_earlier", publish=Publish("grpc", "c", "live", "n", "anna")
        )
        await bench.gate._enforcer.orphans.caller_gone(orphan, NOBODY, alarmed=False)
        await bench.until(lambda: bench.ledger.incidents()[0].cut_unconfirmed_ms)
        [stored] = bench.ledger.incidents()
    assert stored.cut_unconfirmed_ms is not None
    assert stored.cut_unconfirmed_ms >= (incident.cut_asked_ms or 0)


def test_live_time_is_counted_though_the_clock_goes_back() -> None:
    clock = ManualClock()
    usage = UsageCounter(clock)
    usage.started("st_1", "live", clock.wall_ms())
    clock.advance_ms(1_000)
    clock.now_wall_ms -= HOUR_MS
    clock.advance_ms(1_000)
    usage.ended("st_1")
    taken = usage.take()
    assert taken is not None
    assert taken["apps"]["live"]["stream_ms"] == 2_000
    assert taken["from_ms"] <= taken["to_ms"]


def test_what_people_decide_is_dated_after_what_they_decide_on(tmp_path: Path) -> None:
    earlier = NOW - HOUR_MS
    ledger = Ledger.open(tmp_path / "edge.db")
    block = ledger.add_block(SubjectKind.BROADCASTER, "anna", "", None, "spam", "root", NOW)
    appeal = ledger.file_appeal("no", "platform", NOW, Policy(), block_id=block.id)
    assert ledger.lift_block(block.id, "mistake", "root", earlier).lifted_ms == NOW
    assert ledger.appeal(appeal.id).decided_ms == NOW
    strike, _ = ledger.add_strike(Policy(), "berta", "live", "fight", Severity.NORMAL, "", "root", NOW)
    pardoned, undone = ledger.pardon_strike(Policy(), strike.id, "mistake", "root", earlier)
    assert pardoned.pardoned_ms == NOW
    assert {each.lifted_ms for each in undone.lifted} == {NOW}
    publish = Publish("test", "c", "live", "n", "clara")
    verdict = Verdict(Action.FLAG, 0, 0, "fight", VerdictReason.DETECTOR, 0.5)
    incident = Incident(new_id("in"), new_stream_id(), publish, verdict, NOW)
    ledger.record_incident(incident, NOW)
    confirmed = IncidentState.CONFIRMED
    reviewed, _ = ledger.review(incident.id, confirmed, "right", "root", earlier, Policy())
    assert reviewed.review.reviewed_ms == reviewed.review.first_confirmed_ms == NOW
    ledger.close()
