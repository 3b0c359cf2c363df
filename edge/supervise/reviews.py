"""Applies people's decisions on incidents and appeals, and settles what nobody decided in time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from typing import Final

from edge.banking import Banking, BankingState
from edge.domain import Appeal, AppealState, Comment, Incident, IncidentState
from edge.errors import Conflict, InvalidInput, LedgerUnavailable, NotFound
from edge.ledger import Case
from edge.supervise.actions import OperatorActions
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.banking_work import BankingWork
from edge.supervise.bankings import banking_of, check_stretch
from edge.supervise.context import Context
from edge.supervise.evidence_reading import EvidenceReading
from edge.supervise.incident_progress import IncidentProgress
from edge.supervise.review_queue import QueueFilter, ReviewQueue
from edge.telemetry.records import GATE, IncidentLookedAt, IncidentReviewed, ReviewUndone

_UNDECIDED: Final = (None, BankingState.CHOSEN, BankingState.WITHDRAWING, BankingState.WITHDRAWN)
"""Of the banking of an incident that is being confirmed. The last two: an earlier confirmation was undone."""
_UNDER_WAY: Final = (BankingState.WITHDRAWING, BankingState.PENDING)
_CANDIDATES: Final = 200
"""Most incidents of which one is claimed, while others claim some of them."""


class ReviewActions:
    """Applies each decision durably first, then in memory, in live streams and in the banks."""

    def __init__(
        self,
        context: Context,
        actions: OperatorActions,
        bank_updates: BankUpdates,
        evidence: EvidenceReading,
        queue: ReviewQueue,
    ) -> None:
        self._context = context
        self._queue = queue
        self._actions = actions
        self._progress = IncidentProgress(context.ledger, context.executor, context.telemetry)
        self.work = BankingWork(context, bank_updates, self._progress, evidence.bring)

    async def case(self, incident_id: str) -> Case:
        """Returns an incident with everything that depends on it."""
        return await self._context.executor.person(self._context.operator_ledger.case, incident_id)

    async def look(self, incident_id: str, by: str) -> None:
        """Notes that a person looks at an incident. The first time counts. Nobody is kept from looking by a
        ledger that is away."""
        context = self._context
        with contextlib.suppress(LedgerUnavailable):
            now = context.clock.wall_ms()
            found = await context.executor.person(context.operator_ledger.note_look, incident_id, by, now)
            if found is not None:
                self._looked(found, by, now)

    async def claim(self, incident_id: str, by: str) -> Incident:
        """Reserves an incident for one reviewer, for as long as the policy says."""
        context = self._context
        now, policy = context.clock.wall_ms(), context.policy
        incident = await context.executor.person(
            context.operator_ledger.claim, incident_id, by, now, policy.review.claim_ms, policy.queue.claims
        )
        self._looked(incident, by, now)
        return incident

    async def claim_next(self, wanted: QueueFilter, by: str, *, senior: bool) -> Incident:
        """Reserves the most urgent incident that nobody has claimed and that this person may decide.

        Raises NotFound where none is left, and Conflict where the person holds as many as the policy allows.
        """
        context = self._context
        now, policy = context.clock.wall_ms(), context.policy
        view = await self._queue.view(wanted)
        ids = [
            queued.waiting.id
            for queued in view.queued
            if not queued.waiting.is_claimed(now) and queued.may_be_decided(by, senior=senior)
        ]
        incident = await context.executor.person(
            context.operator_ledger.claim_first,
            ids[:_CANDIDATES],
            by,
            now,
            policy.review.claim_ms,
            policy.queue.claims,
        )
        if incident is None:
            raise NotFound("incident", "that nobody has claimed")
        self._looked(incident, by, now)
        return incident

    async def release(self, incident_id: str, by: str) -> Incident:
        context = self._context
        return await context.executor.person(
            context.operator_ledger.release, incident_id, by, context.clock.wall_ms()
        )

    async def comment(self, incident_id: str, text: str, by: str) -> Comment:
        """Adds a comment for the people who review."""
        context = self._context
        return await context.executor.person(
            context.operator_ledger.add_comment, incident_id, text, by, context.clock.wall_ms()
        )

    def _looked(self, incident: Incident, by: str, now_ms: int) -> None:
        """Reports the first look, if this was it."""
        review = incident.review
        if review.looked_ms == max(now_ms, incident.created_ms) and review.looked_by == by:
            waited_s = (review.looked_ms - incident.created_ms) / 1000
            self._context.telemetry.report(IncidentLookedAt(incident, by, waited_s))

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
        senior: bool = True,
    ) -> Incident:
        """Records a reviewer's decision and applies what follows for blocks and for known footage.

        A confirmed incident's stretch is banked: the one that the verdict rests on, or ``stretch_ms`` of the
        clip. The answer waits ``wait_s`` for what was banked. Then it says that the banking is pending, and
        ``case`` tells the rest. ``senior`` says whether the person may decide what is escalated, where only
        admins may. Raises InvalidInput and LimitExceeded for a wrong stretch, before anything is decided.
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
        now = context.clock.wall_ms()
        deciding = functools.partial(
            context.operator_ledger.review,
            incident_id,
            decision,
            reason,
            by,
            now,
            context.policy,
            senior=senior,
        )
        incident, blocks = await context.executor.person(deciding)
        self._looked(incident, by, now)
        self._context.telemetry.report(IncidentReviewed(incident, by))
        self._actions.blocks_changed(*blocks, by=by)
        if incident.state is IncidentState.CONFIRMED:
            return await self._bank(incident, stretch_ms, declined=bank_nothing, wait_s=wait_s)
        if incident.state is IncidentState.CONFIRMED_ONCE and stretch_ms is not None:
            return await self._banked(incident, Banking(BankingState.CHOSEN, stretch_ms=stretch_ms))
        if incident.banking is not None and incident.banking.state is BankingState.WITHDRAWING:
            return await self._outcome(incident, wait_s)
        return incident

    async def undo(self, incident_id: str, by: str, wait_s: float = 0.0) -> Incident:
        """Takes back a person's own last decision about an incident, with all that followed from it.

        What was banked is taken out again, and what was taken out is banked again: the answer waits
        ``wait_s`` for that. Raises Conflict where it is too late or something has changed since, and
        PermissionRefused for another person's decision.
        """
        context = self._context
        incident, blocks = await context.executor.person(
            context.operator_ledger.undo_review, incident_id, by, context.clock.wall_ms()
        )
        context.telemetry.report(ReviewUndone(incident, by))
        self._actions.blocks_changed(*blocks, by=by)
        if incident.banking is not None and incident.banking.state in _UNDER_WAY:
            return await self._outcome(incident, wait_s)
        return incident

    async def _bank(
        self, incident: Incident, asked_ms: tuple[int, int] | None, *, declined: bool, wait_s: float
    ) -> Incident:
        """Banks a confirmed incident, unless an earlier confirmation has decided that."""
        before = None if incident.banking is None else incident.banking.state
        decided = before not in _UNDECIDED and asked_ms is None
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

    async def decide_appeal(
        self, appeal_id: str, reason: str, by: str, *, grant: bool, senior: bool = True
    ) -> Appeal:
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
            await self.review(appeal.incident_id, decision, reason, by, senior=senior)
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
