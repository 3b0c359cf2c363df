"""Carries out what is on record to become known footage, or to be taken out again, until it is done.

The record says it, so nothing is lost with a task, a restart or a full disk. Each gate of a fleet does what
concerns the incidents that it decided: their clips and its own bank are here, wherever people review them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge.backoff import backoff_ms
from edge.banking import Banking, BankingState, NothingBanked
from edge.domain import Incident, IncidentState
from edge.errors import EvidenceErased, GateError, LedgerUnavailable
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.context import Context
from edge.supervise.incident_progress import IncidentProgress
from edge.telemetry.records import BankingFailed

POLL_S: Final = 5.0
"""Pause between two looks at the record, for what people decide at other gates."""
FIRST_PAUSE_MS: Final = 1_000
MOST_PAUSE_MS: Final = 300_000

Bring = Callable[[Incident], Awaitable[Incident | None]]


class BankingWork:
    """One incident at a time. What fails is tried again after a pause that grows."""

    def __init__(
        self, context: Context, updates: BankUpdates, progress: IncidentProgress, bring: Bring
    ) -> None:
        """``bring`` returns an incident with its clip on this machine, or None where there is none."""
        self._context = context
        self._bring = bring
        self._updates = updates
        self._progress = progress
        self._wanted = asyncio.Event()
        self._failures: dict[str, tuple[int, float]] = {}
        """Of each incident that failed: how often, and the monotonic time from which it is tried again."""
        self._awaited: dict[str, asyncio.Future[Incident]] = {}

    async def outcome(self, incident: Incident, wait_s: float) -> Incident:
        """Returns an incident once what is on record for it has been done, or as it is after ``wait_s``."""
        self._failures.pop(incident.id, None)
        loop = asyncio.get_running_loop()
        done = self._awaited.setdefault(incident.id, loop.create_future())
        self._wanted.set()
        await asyncio.wait({done}, timeout=wait_s)
        return done.result() if done.done() else incident

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            self._wanted.clear()
            with contextlib.suppress(LedgerUnavailable):  # the ledger says so itself
                await self.work()
            pause_s = POLL_S
            if self._failures:
                soonest = min(due for _, due in self._failures.values())
                pause_s = min(POLL_S, max(0.05, (soonest - self._now_ms()) / 1000))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause_s)

    async def work(self) -> None:
        """Does what is on record and due, once. Raises LedgerUnavailable."""
        context = self._context
        waiting = await context.executor.call(context.ledger.pending_bankings)
        for gone in self._failures.keys() - {incident.id for incident in waiting}:
            del self._failures[gone]
        for gone in self._awaited.keys() - {incident.id for incident in waiting}:
            self._awaited.pop(gone).cancel()
        for incident in waiting:
            _, due_ms = self._failures.get(incident.id, (0, 0.0))
            if self._now_ms() >= due_ms:
                await self._carry_out(incident)

    async def _carry_out(self, incident: Incident) -> None:
        assert incident.banking is not None
        try:
            if incident.state is not IncidentState.CONFIRMED:
                await self._updates.overturned(incident)
                if await self._stands(incident.id):  # confirmed anew meanwhile: the next look banks it
                    self._wanted.set()
                    return
                banking = replace(incident.banking, state=BankingState.WITHDRAWN, detail="")
            else:
                here = await self._with_clip(incident)
                stands = functools.partial(self._stands, incident.id)
                stretch_ms = incident.banking.stretch_ms or (0, 0)
                banked = (
                    Banking(BankingState.NOTHING, NothingBanked.NO_EVIDENCE)
                    if here is None
                    else await self._updates.confirmed(here, stretch_ms, stands)
                )
                if banked is None:  # overturned or undone meanwhile: the next look withdraws it
                    self._wanted.set()
                    return
                banking = await self._with_unasked(banked)
        except (OSError, GateError) as error:
            await self._failed(incident, incident.banking, str(error) or type(error).__name__)
            return
        self._failures.pop(incident.id, None)
        done = await self._record(incident, banking)
        if (awaited := self._awaited.pop(incident.id, None)) is not None and not awaited.done():
            awaited.set_result(done)

    async def _with_unasked(self, banking: Banking) -> Banking:
        """Says which gates of the fleet were not asked what their streams showed."""
        if banking.state is not BankingState.BANKED:
            return banking
        ledger = self._context.operator_ledger
        return replace(banking, gates_not_asked=await self._context.executor.person(ledger.other_gates))

    async def _with_clip(self, incident: Incident) -> Incident | None:
        clip = incident.evidence_path
        if clip is not None and await asyncio.to_thread(Path(clip).is_file):
            return incident
        try:
            return None if clip is None else await self._bring(incident)
        except EvidenceErased:
            return None

    async def _failed(self, incident: Incident, banking: Banking, error: str) -> None:
        failures = self._failures.get(incident.id, (0, 0.0))[0] + 1
        pause_ms = backoff_ms(failures, FIRST_PAUSE_MS, MOST_PAUSE_MS)
        self._failures[incident.id] = failures, self._now_ms() + pause_ms
        self._context.telemetry.report(BankingFailed(incident.id, banking.state.value, error, failures))
        if banking.detail != error:
            await self._record(incident, replace(banking, detail=error))

    async def _record(self, incident: Incident, banking: Banking) -> Incident:
        await self._progress.banking(incident.id, banking, self._context.clock.wall_ms())
        return replace(incident, banking=banking)

    async def _stands(self, incident_id: str) -> bool:
        context = self._context
        case = await context.executor.call(context.ledger.case, incident_id)
        banking = case.incident.banking
        wanted = banking is not None and banking.state is BankingState.PENDING
        return wanted and case.incident.state in (IncidentState.CONFIRMED, IncidentState.ESCALATED)

    def _now_ms(self) -> float:
        return self._context.clock.monotonic_ms()
