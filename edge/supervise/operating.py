"""What people change while the gate runs: policy, blocks, reviews."""

from __future__ import annotations

import contextlib

import structlog

from edge.api.gen import worker_pb2
from edge.domain import Block, Incident, IncidentState, SubjectKind
from edge.errors import WorkerLost
from edge.policy import Policy
from edge.supervise.enforcement import Enforcement
from edge.supervise.known_footage import KnownFootage
from edge.supervise.state import State
from edge.supervise.tasks import Tasks

log = structlog.get_logger(__name__)


class Operating:
    """Durable first, then in memory and in the running streams."""

    def __init__(
        self, state: State, enforcement: Enforcement, known_footage: KnownFootage, tasks: Tasks
    ) -> None:
        self._state = state
        self._enforcement = enforcement
        self._known_footage = known_footage
        self._tasks = tasks

    async def set_policy(self, policy: Policy, by: str, reason: str, expected_version: int) -> Policy:
        """Store a new version and apply it to the running streams."""
        state = self._state
        stored = await state.thread.call(
            state.ledger.policy_put, policy, by, reason, state.clock.wall_ms(), expected_version or None
        )
        self.apply_policy(stored)
        return stored

    def apply_policy(self, policy: Policy) -> None:
        """In force from now on, running streams included, unless a newer one is."""
        state = self._state
        if policy.version <= state.policy.version:
            return
        log.info("policy in force", version=policy.version, before=state.policy.version)
        state.policy = policy
        for stream in state.registry:
            if stream.owned:
                text = policy.for_publish(stream.publish).model_dump_json()
                change = worker_pb2.SetPolicy(stream_id=stream.id, policy_json=text)
                with contextlib.suppress(WorkerLost):
                    state.pool.send(stream.id, worker_pb2.ToWorker(set_policy=change))

    async def add_block(
        self, kind: SubjectKind, subject: str, app: str, duration_ms: int, reason: str, by: str
    ) -> Block:
        """A block by hand; running streams of the subject are cut."""
        state = self._state
        block = await state.thread.call(
            state.ledger.add_block, kind, subject, app, duration_ms or None, reason, by, state.clock.wall_ms()
        )
        state.view.add(block)
        self._enforcement.blocks_apply()
        return block

    async def lift_block(self, block_id: str, reason: str, by: str) -> Block:
        state = self._state
        block = await state.thread.call(state.ledger.lift_block, block_id, reason, by, state.clock.wall_ms())
        state.view.remove(block_id)
        return block

    async def review(self, incident_id: str, decision: IncidentState, reason: str, by: str) -> Incident:
        """A person's decision; overturning lifts what rested on the incident."""
        state = self._state
        incident, lifted = await state.thread.call(
            state.ledger.review, incident_id, decision, reason, by, state.clock.wall_ms()
        )
        for block in lifted:
            state.view.remove(block.id)
        if decision is IncidentState.CONFIRMED:
            self._tasks.run(self._known_footage.confirmed(incident))
        elif decision is IncidentState.OVERTURNED:
            self._tasks.run(self._known_footage.overturned(incident))
        return incident
