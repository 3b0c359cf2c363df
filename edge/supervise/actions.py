"""What people change while the gate runs: policy, blocks, strikes."""

from __future__ import annotations

import contextlib

import structlog

from edge.contract.gen import worker_pb2
from edge.domain import Block, Severity, Strike, SubjectKind
from edge.errors import WorkerLost
from edge.policy import Policy
from edge.supervise.context import State
from edge.supervise.enforcer import Enforcement

log = structlog.get_logger(__name__)


class Operating:
    """Durable first, then in memory and in the running streams."""

    def __init__(self, state: State, enforcement: Enforcement) -> None:
        self._state = state
        self._enforcement = enforcement

    async def set_policy(self, policy: Policy, by: str, reason: str, expected_version: int) -> Policy:
        """Store a new version and apply it to the running streams."""
        state = self._state
        stored = await state.thread.person(
            state.people.policy_put, policy, by, reason, state.clock.wall_ms(), expected_version or None
        )
        self.apply_policy(stored)
        return stored

    def apply_policy(self, policy: Policy) -> None:
        """In force from now on, running streams included. It may be of an earlier version: a database that
        has lost its last commits counts anew."""
        state = self._state
        if policy == state.policy:
            return
        log.info("policy in force", version=policy.version, before=state.policy.version)
        state.policy = policy
        for stream in state.registry:
            if stream.owned:
                own = policy.for_publish(stream.publish)
                if stream.media is not None:
                    stream.media.set_policy(own.tiers, own.evidence)
                change = worker_pb2.SetPolicy(stream_id=stream.id, policy_json=own.model_dump_json())
                with contextlib.suppress(WorkerLost):
                    state.pool.send(stream.id, worker_pb2.ToWorker(set_policy=change))

    async def add_block(
        self, kind: SubjectKind, subject: str, app: str, duration_ms: int, reason: str, by: str
    ) -> Block:
        """A block by hand; running streams of the subject are cut."""
        state = self._state
        block = await state.thread.person(
            state.people.add_block,
            kind,
            subject,
            app,
            duration_ms or None,
            reason,
            by,
            state.clock.wall_ms(),
            state.policy.for_app(app).review,
        )
        self.blocks_changed(block)
        return block

    async def confirm_block(self, block_id: str, reason: str, by: str) -> Block:
        """The second person's word for a permanent block by hand, and for all of its strike."""
        state = self._state
        now = state.clock.wall_ms()
        confirmed = await state.thread.person(state.people.confirm_block, block_id, reason, by, now)
        self.blocks_changed(*confirmed)
        return confirmed[0]

    async def lift_block(self, block_id: str, reason: str, by: str) -> Block:
        state = self._state
        block = await state.thread.person(
            state.people.lift_block, block_id, reason, by, state.clock.wall_ms()
        )
        self.blocks_changed(block)
        return block

    async def add_strike(
        self,
        broadcaster: str,
        app: str,
        category: str,
        severity: Severity,
        reason: str,
        by: str,
        incident_id: str | None,
    ) -> tuple[Strike, tuple[Block, ...]]:
        """A strike by hand, with the ladder's block; running streams of the broadcaster are cut."""
        state = self._state
        strike, blocks = await state.thread.person(
            state.people.add_strike,
            state.policy,
            broadcaster,
            app,
            category,
            severity,
            reason,
            by,
            state.clock.wall_ms(),
            incident_id,
        )
        self.blocks_changed(*blocks)
        return strike, blocks

    async def pardon_strike(self, strike_id: str, reason: str, by: str) -> Strike:
        """The strike as if it had never happened."""
        state = self._state
        now = state.clock.wall_ms()
        strike, undone = await state.thread.person(
            state.people.pardon_strike, state.policy, strike_id, reason, by, now
        )
        self.blocks_changed(*undone.changed)
        return strike

    def blocks_changed(self, *blocks: Block) -> None:
        """In force from now on: running streams that a new one names are cut."""
        for block in blocks:
            self._state.view.add(block)
        self._enforcement.blocks_apply(blocks)
