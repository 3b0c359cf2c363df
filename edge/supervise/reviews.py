"""Applies people's decisions on incidents and appeals, and settles what nobody decided in time."""

from __future__ import annotations

import dataclasses
import functools

from edge.banking import Banking, BankingState
from edge.domain import Appeal, AppealState, Incident, IncidentState
from edge.errors import Conflict, InvalidInput
from edge.ledger import Case
from edge.supervise.actions import OperatorActions
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.banking_work import BankingWork
from edge.supervise.bankings import banking_of, check_stretch
from edge.supervise.context import Context
from edge.supervise.evidence_reading import EvidenceReading
from edge.supervise.incident_progress import IncidentProgress
from edge.telemetry.records import GATE, IncidentReviewed


class ReviewActions:
    """Applies each decision durably first, then in memory, in live streams and in the banks."""

    def __init__(
        self,
        context: Context,
        actions: OperatorActions,
        bank_updates: BankUpdates,
        evidence: EvidenceReading,
    ) -> None:
        self._context = context
        self._actions = actions
        self._progress = IncidentProgress(context.ledger, context.executor)
        self.work = BankingWork(context, bank_updates, self._progress, evidence.bring)

    async def case(self, incident_id: str) -> Case:
        """Returns an incident with everything that depends on it."""
        return await self._context.executor.person(self._context.operator_ledger.case, incident_id)

    async def claim(self, incident_id: str, by: str) -> Incident:
        """Reserves an incident for one reviewer, for as long as the policy says."""
        context = self._context
        now, claim_ms = context.clock.wall_ms(), context.policy.review.claim_ms
        return await context.executor.person(context.operator_ledger.claim, incident_id, by, now, claim_ms)

    async def release(self, incident_id: str, by: str) -> Incident:
        context = self._context
        return await context.executor.person(
            context.operator_ledger.release, incident_id, by, context.clock.wall_ms()
        )

    async def review(
        self,
        incident_id: str,
        decision: IncidentState,
        reason: str,
        by: str,
        *,
        stretch_ms: tuple[int, int] | None = None,
        bank_nothing: bool = False,
        wait_s: float = 0.0,
    ) -> Incident:
        """Records a reviewer's decision and applies what follows for blocks and for known footage.

        A confirmed incident's stretch is banked: the one that the verdict rests on, or ``stretch_ms`` of the
        clip. The answer waits ``wait_s`` for what was banked. Then it says that the banking is pending, and
        ``case`` tells the rest. Raises InvalidInput and LimitExceeded for a wrong stretch, before anything is
        decided.
        """
        context = self._context
        if stretch_ms is not None or bank_nothing:
            if decision is not IncidentState.CONFIRMED:
                raise InvalidInput("stretch", "only what is confirmed is banked")
            if stretch_ms is not None and bank_nothing:
                raise InvalidInput("bank_nothing", "contradicts the stretch")
            before = (await self.case(incident_id)).incident
            if stretch_ms is not None:
                check_stretch(before, stretch_ms)
        incident, blocks = await context.executor.person(
            context.operator_ledger.review,
            incident_id,
            decision,
            reason,
            by,
            context.clock.wall_ms(),
            context.policy,
        )
        self._context.telemetry.report(IncidentReviewed(incident, by))
        self._actions.blocks_changed(*blocks, by=by)
        if incident.state is IncidentState.CONFIRMED:
            return await self._bank(incident, stretch_ms, declined=bank_nothing, wait_s=wait_s)
        if incident.state is IncidentState.CONFIRMED_ONCE and stretch_ms is not None:
            return await self._banked(incident, Banking(BankingState.CHOSEN, stretch_ms=stretch_ms))
        if incident.banking is not None and incident.banking.state is BankingState.WITHDRAWING:
            return await self._outcome(incident, wait_s)
        return incident

    async def _bank(
        self, incident: Incident, asked_ms: tuple[int, int] | None, *, declined: bool, wait_s: float
    ) -> Incident:
        """Banks a confirmed incident, unless an earlier confirmation has decided that."""
        before = None if incident.banking is None else incident.banking.state
        decided = before not in (None, BankingState.CHOSEN) and asked_ms is None
        if before in (BankingState.PENDING, BankingState.BANKED) or decided:
            return incident
        banking = banking_of(
            incident, asked_ms, declined=declined, has_clip=incident.evidence_path is not None
        )
        incident = await self._banked(incident, banking)
        return incident if banking.state is BankingState.NOTHING else await self._outcome(incident, wait_s)

    async def _outcome(self, incident: Incident, wait_s: float) -> Incident:
        """Returns the incident once its footage is in or out of the bank, or as it is after ``wait_s``."""
        return await self.work.outcome(incident, wait_s) if self._is_ours(incident) else incident

    def _is_ours(self, incident: Incident) -> bool:
        return incident.gate == self._context.ledger.gate

    async def _banked(self, incident: Incident, banking: Banking) -> Incident:
        """Puts on record what was banked."""
        await self._progress.banking(incident.id, banking, self._context.clock.wall_ms())
        return dataclasses.replace(incident, banking=banking)

    async def file_appeal(
        self, text: str, by: str, *, incident_id: str | None, block_id: str | None
    ) -> Appeal:
        """Files a broadcaster's appeal. ``by`` is the person who files it for the platform."""
        context = self._context
        filing = functools.partial(
            context.operator_ledger.file_appeal,
            text,
            by,
            context.clock.wall_ms(),
            context.policy,
            incident_id=incident_id,
            block_id=block_id,
        )
        return await context.executor.person(filing)

    async def decide_appeal(self, appeal_id: str, reason: str, by: str, *, grant: bool) -> Appeal:
        """Decides an appeal.

        An appeal against an incident is decided as its review. A granted appeal against a manual block
        lifts the block, or pardons the strike that it rests on. The appeal stays open while a second person
        has to confirm the incident too.
        """
        context = self._context
        appeal = await context.executor.person(context.operator_ledger.appeal, appeal_id)
        if appeal.state is not AppealState.OPEN:
            raise Conflict(f"appeal_id: {appeal_id} is {appeal.state} already by {appeal.decided_by}")
        if appeal.incident_id is not None:
            decision = IncidentState.OVERTURNED if grant else IncidentState.CONFIRMED
            await self.review(appeal.incident_id, decision, reason, by)
        elif grant and appeal.block_id is not None:
            block = await context.executor.person(context.operator_ledger.block, appeal.block_id)
            if block.strike_id is None:
                await self._actions.lift_block(block.id, reason, by)
            else:
                await self._actions.pardon_strike(block.strike_id, reason, by)
        else:
            await context.executor.person(
                context.operator_ledger.deny_appeal, appeal_id, reason, by, context.clock.wall_ms()
            )
        return await context.executor.person(context.operator_ledger.appeal, appeal_id)

    async def settle_unreviewed(self) -> None:
        """Records incidents that nobody reviewed in time. Raises LedgerUnavailable."""
        context = self._context
        blocks = await context.executor.call(
            context.ledger.settle_unreviewed, context.policy, context.clock.wall_ms()
        )
        self._actions.blocks_changed(*blocks, by=GATE)
