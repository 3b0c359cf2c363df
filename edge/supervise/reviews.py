"""Applies people's decisions on incidents and appeals, and settles what nobody decided in time."""

from __future__ import annotations

import functools

from edge.background import BackgroundTasks
from edge.domain import Appeal, AppealState, Incident, IncidentState
from edge.errors import Conflict
from edge.ledger import Case
from edge.supervise.actions import OperatorActions
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.context import Context
from edge.telemetry.records import GATE, IncidentReviewed


class ReviewActions:
    """Applies each decision durably first, then in memory, in live streams and in the banks."""

    def __init__(
        self, context: Context, actions: OperatorActions, bank_updates: BankUpdates, tasks: BackgroundTasks
    ) -> None:
        self._context = context
        self._actions = actions
        self._bank_updates = bank_updates
        self._tasks = tasks

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

    async def review(self, incident_id: str, decision: IncidentState, reason: str, by: str) -> Incident:
        """Records a reviewer's decision and applies what follows for blocks and for known footage."""
        context = self._context
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
            stands = functools.partial(self._stands, incident.id)
            self._tasks.start(self._bank_updates.confirmed(incident, stands))
        elif incident.state is IncidentState.OVERTURNED:
            self._tasks.start(self._bank_updates.overturned(incident))
        return incident

    async def _stands(self, incident_id: str) -> bool:
        return (await self.case(incident_id)).incident.state is not IncidentState.OVERTURNED

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
