"""What people decide about incidents and appeals while the gate runs, and what nobody decided in time."""

from __future__ import annotations

import functools

from edge.domain import Appeal, AppealState, Incident, IncidentState
from edge.errors import Conflict
from edge.ledger import Case
from edge.supervise.actions import Operating
from edge.supervise.bank_updates import KnownFootage
from edge.supervise.context import State
from edge.supervise.tasks import Tasks


class Reviewing:
    """Durable first, then in memory, in the running streams and in the banks."""

    def __init__(self, state: State, operating: Operating, known_footage: KnownFootage, tasks: Tasks) -> None:
        self._state = state
        self._operating = operating
        self._known_footage = known_footage
        self._tasks = tasks

    async def case(self, incident_id: str) -> Case:
        """An incident with everything that rests on it."""
        return await self._state.thread.person(self._state.people.case, incident_id)

    async def claim(self, incident_id: str, by: str) -> Incident:
        """Keep an incident for one reviewer, for as long as the policy says."""
        state = self._state
        now, claim_ms = state.clock.wall_ms(), state.policy.review.claim_ms
        return await state.thread.person(state.people.claim, incident_id, by, now, claim_ms)

    async def release(self, incident_id: str, by: str) -> Incident:
        state = self._state
        return await state.thread.person(state.people.release, incident_id, by, state.clock.wall_ms())

    async def review(self, incident_id: str, decision: IncidentState, reason: str, by: str) -> Incident:
        """A person's decision, and what follows from it for blocks, and for what is known footage."""
        state = self._state
        incident, blocks = await state.thread.person(
            state.people.review, incident_id, decision, reason, by, state.clock.wall_ms(), state.policy
        )
        self._operating.blocks_changed(*blocks)
        if incident.state is IncidentState.CONFIRMED:
            stands = functools.partial(self._stands, incident.id)
            self._tasks.run(self._known_footage.confirmed(incident, stands))
        elif incident.state is IncidentState.OVERTURNED:
            self._tasks.run(self._known_footage.overturned(incident))
        return incident

    async def _stands(self, incident_id: str) -> bool:
        return (await self.case(incident_id)).incident.state is not IncidentState.OVERTURNED

    async def file_appeal(
        self, text: str, by: str, *, incident_id: str | None, block_id: str | None
    ) -> Appeal:
        """A broadcaster's word against a block; ``by``: who files it for the platform."""
        state = self._state
        filing = functools.partial(
            state.people.file_appeal,
            text,
            by,
            state.clock.wall_ms(),
            state.policy,
            incident_id=incident_id,
            block_id=block_id,
        )
        return await state.thread.person(filing)

    async def decide_appeal(self, appeal_id: str, reason: str, by: str, *, grant: bool) -> Appeal:
        """An appeal against an incident is its review; one against a block by hand lifts it or not, and
        pardons the strike that it rests on.

        The appeal stays open where a second person has to confirm the incident, too.
        """
        state = self._state
        appeal = await state.thread.person(state.people.appeal, appeal_id)
        if appeal.state is not AppealState.OPEN:
            raise Conflict(f"appeal_id: {appeal_id} is {appeal.state} already by {appeal.decided_by}")
        if appeal.incident_id is not None:
            decision = IncidentState.OVERTURNED if grant else IncidentState.CONFIRMED
            await self.review(appeal.incident_id, decision, reason, by)
        elif grant and appeal.block_id is not None:
            block = await state.thread.person(state.people.block, appeal.block_id)
            if block.strike_id is None:
                await self._operating.lift_block(block.id, reason, by)
            else:
                await self._operating.pardon_strike(block.strike_id, reason, by)
        else:
            await state.thread.person(state.people.deny_appeal, appeal_id, reason, by, state.clock.wall_ms())
        return await state.thread.person(state.people.appeal, appeal_id)

    async def settle_unreviewed(self) -> None:
        """Put on record what nobody has reviewed in time. Raises LedgerUnavailable."""
        state = self._state
        blocks = await state.thread.call(state.ledger.settle_unreviewed, state.policy, state.clock.wall_ms())
        self._operating.blocks_changed(*blocks)
