"""A wrong wall clock does no lasting harm to blocks."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.clock import ManualClock
from edge.config import Settings
from edge.detect import default_model_directory
from edge.domain import Action, Block, Incident, Publish, SubjectKind, Verdict, new_id, new_stream_id
from edge.ladder import Sanction
from edge.ledger import DurableLedger
from edge.policy import DAY_MS, Policy
from edge.reasons import VerdictReason
from edge.supervise import Gate
from edge.supervise.expiry import Expiry
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.records import ClockStepped
from edge.telemetry.telemetry import Telemetry
from edge.workers.settings import WorkerSettings

MINUTE_MS = 60_000
ANNA = Publish("test", "c1", "live", "show", "anna")


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """A gate that is not started, because no worker is needed. Its clocks have run evenly for long."""
    settings = Settings(data_dir=tmp_path)
    limits = settings.limits
    workers = WorkerSettings(
        model_dir=default_model_directory(),
        bank_dir=tmp_path,
        max_access_unit_bytes=limits.max_access_unit_bytes,
        max_extradata_bytes=limits.max_extradata_bytes,
        max_queue_units=limits.max_queue_units,
        max_queue_bytes=limits.max_queue_bytes,
    )
    ledger = DurableLedger.open(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    gate = Gate(settings, workers, ledger, Policy(), {}, Telemetry(), ManualClock())
    yield gate
    gate.executor.close()
    ledger.close()


@pytest.fixture
async def endings(gate: Gate) -> Expiry:
    endings = Expiry(gate._context, gate.reviews.settle_unreviewed)
    await passes(gate, endings, 20 * MINUTE_MS)
    return endings


def clock_of(gate: Gate) -> ManualClock:
    assert isinstance(gate.clock, ManualClock)
    return gate.clock


async def passes(gate: Gate, endings: Expiry, ms: int) -> None:
    """Advances time, with a look every minute."""
    for _ in range(ms // MINUTE_MS):
        clock_of(gate).advance_ms(MINUTE_MS)
        await endings.sweep()


def violate(gate: Gate) -> str:
    """Blocks of a detector's verdict that lapse after a day. Returns the incident's id."""
    now = gate.clock.wall_ms()
    verdict = Verdict(Action.CUT, 4200, 3800, "fight", VerdictReason.DETECTOR, 0.97)
    incident = Incident(new_id("in"), new_stream_id(), ANNA, verdict, now)
    for block in gate.ledger.record_violation(incident, Sanction(), now).blocks:
        gate._context.view.add_block(block)
    return incident.id


def block(gate: Gate, broadcaster: str, ms: int) -> Block:
    now = gate.clock.wall_ms()
    return gate.ledger.add_block(SubjectKind.BROADCASTER, broadcaster, "", ms, "spam", "rita", now)


def pardoned_by(gate: Gate, incident_id: str) -> str | None:
    strike = gate.ledger.case(incident_id).strike
    assert strike is not None
    return strike.pardoned_by


def refused(gate: Gate, broadcaster: str = "anna") -> bool:
    publish = Publish("test", "c2", "live", "show", broadcaster)
    return gate._context.view.check(publish, gate.clock.wall_ms()) is not None


async def test_a_clock_a_day_ahead_takes_nothing_back_for_good(gate: Gate, endings: Expiry) -> None:
    incident_id = violate(gate)
    said = RecordingBackend()
    gate._context.telemetry = Telemetry(said)
    clock_of(gate).now_wall_ms += DAY_MS + 20 * MINUTE_MS
    await passes(gate, endings, 60 * MINUTE_MS)
    assert not refused(gate), "times take effect by the clock that there is"
    clock_of(gate).now_wall_ms -= DAY_MS + 20 * MINUTE_MS
    await passes(gate, endings, 60 * MINUTE_MS)
    assert pardoned_by(gate, incident_id) is None
    assert refused(gate)
    assert said.of(ClockStepped) == [ClockStepped(87_600, 86_400), ClockStepped(-87_600, 600)]
    # When its time is really over, it lapses as usual.
    await passes(gate, endings, DAY_MS - 130 * MINUTE_MS)
    assert refused(gate)
    await passes(gate, endings, 15 * MINUTE_MS)
    assert not refused(gate)
    assert pardoned_by(gate, incident_id) is None, "overdue, and not for long"
    await passes(gate, endings, 10 * MINUTE_MS)
    assert pardoned_by(gate, incident_id) == "gate"


async def test_a_gate_that_starts_with_a_clock_ahead_takes_nothing_back(gate: Gate) -> None:
    incident_id = violate(gate)
    clock = clock_of(gate)
    clock.now_wall_ms += 2 * DAY_MS
    now = clock.now_wall_ms
    gate._context.view.load_rows(gate.ledger.active_block_rows(now), now)
    endings = Expiry(gate._context, gate.reviews.settle_unreviewed)
    await passes(gate, endings, 5 * MINUTE_MS)
    clock.now_wall_ms -= 2 * DAY_MS
    await passes(gate, endings, 30 * MINUTE_MS)
    assert refused(gate)
    assert pardoned_by(gate, incident_id) is None


async def test_blocks_that_a_wrong_clock_has_ended_are_back_when_it_is_right(
    gate: Gate, endings: Expiry, tmp_path: Path
) -> None:
    made = {name: block(gate, name, DAY_MS) for name in ("anna", "berta", "carla", "dora")}
    view = gate._context.view
    now = gate.clock.wall_ms()
    view.load_rows(gate.ledger.active_block_rows(now), now)
    for name in ("eva", "fritz"):
        view.add_block(block(gate, name, 2 * DAY_MS))
    clock_of(gate).now_wall_ms += DAY_MS
    await passes(gate, endings, DAY_MS + 10 * MINUTE_MS)
    assert (len(view), refused(gate, "anna")) == (0, False), "they have ended, and are forgotten"
    view.add_block(block(gate, "gerd", DAY_MS))
    clock_of(gate).now_wall_ms -= 2 * DAY_MS

    loading = asyncio.create_task(endings.sweep())
    await asyncio.sleep(0)
    gate.executor._executor.submit(lambda: None).result(timeout=90)
    # All rows are read, and people change blocks before the view has the rows.
    view.add_block(gate.ledger.lift_block(made["berta"].id, "mistake", "rita", gate.clock.wall_ms()))
    view.add_block(block(gate, "hanna", DAY_MS))
    await loading
    names = ("anna", "berta", "carla", "dora", "eva", "fritz", "gerd", "hanna")
    assert [name for name in names if not refused(gate, name)] == ["berta"]
    assert len(view) == len(names) - 1
    view.add_block(gate.ledger.lift_block(made["dora"].id, "mistake", "rita", gate.clock.wall_ms()))
    assert not refused(gate, "dora")


async def test_a_ledger_that_is_away_puts_the_loading_off(
    gate: Gate, endings: Expiry, tmp_path: Path
) -> None:
    block(gate, "anna", DAY_MS)
    view = gate._context.view
    now = gate.clock.wall_ms()
    view.load_rows(gate.ledger.active_block_rows(now + 2 * DAY_MS), now + 2 * DAY_MS)
    with contextlib.closing(sqlite3.connect(tmp_path / "edge.db", isolation_level=None)) as other:
        other.execute("ALTER TABLE blocks RENAME TO elsewhere")
        await endings.sweep()
        assert gate.executor.down
        other.execute("ALTER TABLE elsewhere RENAME TO blocks")
    await gate.executor.call(gate.ledger.probe)
    await endings.sweep()
    assert refused(gate)


async def test_the_gate_puts_what_nobody_reviewed_on_record(gate: Gate) -> None:
    incident_id = violate(gate)
    endings = Expiry(gate._context, gate.reviews.settle_unreviewed)
    clock_of(gate).advance_ms(DAY_MS + 20 * MINUTE_MS)
    await endings.sweep()
    assert pardoned_by(gate, incident_id) == "gate"
