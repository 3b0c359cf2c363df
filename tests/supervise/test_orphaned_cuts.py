"""Cuts of an earlier run: proven by whoever saw the end, or ended in the ledger without a proof."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.domain import Action, Incident, Publish, Verdict, new_id, new_stream_id
from edge.ladder import Sanction
from edge.ledger import DurableLedger
from edge.reasons import VerdictReason
from edge.servers.connector import Connector, CutAttempt, CutTarget
from edge.supervise.authority import Caller
from edge.supervise.cutter import Cutter
from edge.supervise.incident_progress import IncidentProgress
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.orphaned_cuts import OrphanedCuts
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.records import CutUnconfirmed
from edge.telemetry.telemetry import Telemetry

PATIENCE_S = 90.0
PEER = Caller("peer", "peer:1")
SOON_MS, NEVER_MS = 20, 600_000


class HoldsOn:
    """A server that answers but does not let go until its publisher leaves."""

    kind = "holds-on"
    live = True

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        return CutAttempt(True, 0)

    async def is_live(self, target: CutTarget) -> bool | None:
        return self.live


class Restarted:
    """The parts of a gate that starts on a ledger with an unproven cut."""

    def __init__(self, ledger: DurableLedger, limit_ms: int, server: str) -> None:
        self.ledger = ledger
        self.recorded = RecordingBackend()
        telemetry = Telemetry(self.recorded)
        self.executor = LedgerExecutor(telemetry, lambda: self.ledger.away)
        self.cutter = Cutter()
        marks, clock = IncidentProgress(ledger, self.executor, telemetry), SystemClock()
        self.server = HoldsOn()
        connectors: dict[str, Connector] = {HoldsOn.kind: self.server}
        self.resuming = OrphanedCuts(self.cutter, connectors, marks, telemetry, clock, limit_ms)
        incident = Incident(
            new_id("in"),
            new_stream_id(),
            Publish(server, "c7", "live", "show", "anna"),
            Verdict(Action.CUT, 0, -1, "fight", VerdictReason.DETECTOR),
            clock.wall_ms(),
        )
        self.incident = ledger.record_violation(incident, Sanction(), clock.wall_ms()).incident
        for pending in ledger.pending_cuts():
            self.resuming.resume(pending)

    async def stored(self, condition: Callable[[Incident], object]) -> Incident:
        for _ in range(int(PATIENCE_S / 0.02)):
            incident = await asyncio.to_thread(self.ledger.incident, self.incident.id)
            if condition(incident):
                return incident
            await asyncio.sleep(0.02)
        raise AssertionError(incident)

    def alarms(self) -> int:
        return sum(not record.alarmed for record in self.recorded.of(CutUnconfirmed))

    async def stop(self) -> None:
        await self.resuming.settle(0)
        await self.cutter.close()
        self.executor.close()


Restart = Callable[..., Restarted]


@pytest.fixture
async def restart(tmp_path: Path) -> AsyncIterator[Restart]:
    ledger = DurableLedger.open(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    started: list[Restarted] = []

    def make(limit_ms: int = NEVER_MS, server: str = "grpc") -> Restarted:
        started.append(Restarted(ledger, limit_ms, server))
        return started[-1]

    yield make
    for gate in started:
        await gate.stop()
    ledger.close()


async def test_a_caller_confirms_the_stream_of_an_earlier_run(restart: Restart) -> None:
    gate = restart()
    await asyncio.sleep(0)
    found = gate.resuming.confirm(gate.incident.stream_id, "confirm_cut")
    assert found == gate.incident
    stored = await gate.stored(lambda incident: incident.confirmed_by)
    assert (stored.confirmed_by, stored.cut_unconfirmed_reason) == ("confirm_cut", None)
    assert gate.resuming.confirm(gate.incident.stream_id, "confirm_cut") is None
    assert gate.ledger.pending_cuts() == ()


async def test_a_connection_that_asks_again_and_is_refused_proves_the_cut(restart: Restart) -> None:
    gate = restart()
    publish = gate.incident.publish
    for other in (
        dataclasses.replace(publish, connection="c8"),
        dataclasses.replace(publish, server="other"),
        dataclasses.replace(publish, connection=""),
        dataclasses.replace(publish, broadcaster="berta"),
    ):
        gate.resuming.refused_again(other, PEER)
    assert gate.ledger.pending_cuts() == (gate.incident,)
    gate.resuming.refused_again(publish, PEER)
    assert (await gate.stored(lambda incident: incident.confirmed_by)).confirmed_by == "refused_again"


async def test_without_a_proof_it_ends_as_an_alarm_and_a_late_proof_still_counts(restart: Restart) -> None:
    gate = restart(SOON_MS)
    stored = await gate.stored(lambda incident: incident.cut_unconfirmed_ms)
    assert (stored.cut_unconfirmed_reason, stored.cut_confirmed_ms) == ("caller_gone", None)
    assert gate.alarms() == 1
    assert gate.ledger.pending_cuts() == (), "the next start does not take it up again"
    assert gate.resuming.confirm(gate.incident.stream_id, "confirm_cut") is not None
    assert (await gate.stored(lambda incident: incident.confirmed_by)).cut_unconfirmed_reason == "caller_gone"


async def test_a_server_is_asked_on_past_the_alarm_until_its_hook_tells(restart: Restart) -> None:
    gate = restart(SOON_MS, HoldsOn.kind)
    stored = await gate.stored(lambda incident: incident.cut_unconfirmed_ms)
    assert stored.cut_unconfirmed_reason == "limit"
    assert gate.ledger.pending_cuts() == (stored,), "the next start takes it up again"
    # A refusal proves nothing if the server, and not the caller, holds the publisher.
    gate.resuming.refused_again(gate.incident.publish, PEER)
    assert not gate.resuming.closed(HoldsOn.kind, "c8")
    assert gate.resuming.closed(HoldsOn.kind, "c7")
    await asyncio.sleep(0.1)
    assert gate.ledger.pending_cuts() == (stored,), "the server still has the publisher"
    gate.server.live = False
    assert gate.resuming.closed(HoldsOn.kind, "c7")
    assert (await gate.stored(lambda incident: incident.confirmed_by)).confirmed_by == "hook"
    assert gate.alarms() == 1
