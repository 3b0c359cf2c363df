"""Operators' changes while the gate runs: policy, blocks and strikes."""

from __future__ import annotations

import asyncio
import contextlib

from edge.background import BackgroundTasks
from edge.contract.gen import worker_pb2
from edge.crisis import Crisis
from edge.domain import Block, Severity, Strike, SubjectKind
from edge.errors import Conflict, LedgerUnavailable, WorkerLost
from edge.policy import Policy
from edge.reasons import VerdictReason
from edge.supervise.context import Context
from edge.supervise.enforcer import Enforcer
from edge.supervise.policy_in_force import PolicyInForce
from edge.telemetry.records import BlockChanged, BlockLifted, BlockMade, CutUnrecorded, PolicyChanged
from edge.turns import in_turns


class OperatorActions:
    """Applies operators' changes. Each change is durable first, then takes effect in memory and in live
    streams."""

    def __init__(self, context: Context, enforcer: Enforcer, tasks: BackgroundTasks) -> None:
        self._context = context
        self._tasks = tasks
        self._enforcer = enforcer

    async def set_policy(self, policy: Policy, by: str, reason: str, expected_version: int) -> Policy:
        """Stores a new policy version and applies it to the live streams."""
        context = self._context
        stored = await context.executor.person(
            context.operator_ledger.policy_put,
            policy,
            by,
            reason,
            context.clock.wall_ms(),
            expected_version or None,
        )
        if telling := self.apply_policy(stored):
            await asyncio.wait({telling})
        return stored

    def apply_policy(self, policy: Policy) -> asyncio.Task[None] | None:
        """Puts a policy in force. The returned task ends when the live streams have it.

        Returns None if the policy is in force already. Its version may be lower than the current one: a
        database that lost its last commits reuses version numbers.
        """
        context = self._context
        if policy == context.policy:
            return None
        context.telemetry.report(PolicyChanged(policy.version, context.policy.version))
        return self._put_in_force(policy, context.in_force.crises)

    def apply_crises(self, crises: tuple[Crisis, ...]) -> asyncio.Task[None]:
        """Puts these crises in force in the place of others. The returned task ends as ``apply_policy``'s."""
        return self._put_in_force(self._context.policy, crises)

    def _put_in_force(self, policy: Policy, crises: tuple[Crisis, ...]) -> asyncio.Task[None]:
        context = self._context
        recased = policy.names != context.policy.names
        context.take_policy(PolicyInForce(policy, crises, context.clock.wall_ms()))
        return self._tasks.start(self._tell_streams(context.in_force, recased=recased))

    async def _tell_streams(self, in_force: PolicyInForce, *, recased: bool) -> None:
        """Sends the policy to the live streams, so that Admit gets its turns in between."""
        context = self._context
        if recased:
            await self._enforcer.every_block_applies()
        async for stream in in_turns(context.registry):
            if context.in_force is not in_force:
                return  # A newer policy reaches every stream by its own task.
            if not stream.life.in_worker:
                continue
            own = in_force.for_publish(stream.publish)
            if stream.media is not None:
                stream.media.set_policy(own.tiers, own.evidence)
            policy_json = in_force.json_for(stream.publish)
            change = worker_pb2.SetPolicy(stream_id=stream.id, policy_json=policy_json)
            with contextlib.suppress(WorkerLost):
                context.pool.send(stream.id, worker_pb2.ToWorker(set_policy=change))

    async def add_block(
        self, kind: SubjectKind, subject: str, app: str, duration_ms: int, reason: str, by: str
    ) -> Block:
        """Adds a manual block and cuts the subject's live streams."""
        block = await self._recorded_block(kind, subject, app, duration_ms, reason, by)
        self._blocks_made(block)
        return block

    async def _recorded_block(
        self, kind: SubjectKind, subject: str, app: str, duration_ms: int, reason: str, by: str
    ) -> Block:
        context = self._context
        return await context.executor.person(
            context.operator_ledger.add_block,
            kind,
            subject,
            app,
            duration_ms or None,
            reason,
            by,
            context.clock.wall_ms(),
            context.policy.for_app(app).review,
        )

    async def cut_stream(self, stream_id: str, reason: str, by: str, block_ms: int | None) -> Block | None:
        """Cuts a live stream because a person says so. ``block_ms`` also blocks its broadcaster, for ever if
        it is 0; without a block the publisher may come back at once.

        While the ledger is away the stream is cut, the log alone says by whom, and nobody is blocked. Raises
        LedgerUnavailable then if a block was wanted, NotFound where no such stream is live here, and Conflict
        where it is being cut already.
        """
        context = self._context
        stream = context.registry.get(stream_id)
        if stream.cutting:
            raise Conflict(f"stream_id: {stream_id} is being cut already")
        block = None
        try:
            await context.executor.person(
                context.operator_ledger.note_ordered_cut, stream.id, reason, by, context.clock.wall_ms()
            )
            if block_ms is not None:
                who = stream.publish.broadcaster
                block = await self._recorded_block(SubjectKind.BROADCASTER, who, "", block_ms, reason, by)
        except LedgerUnavailable as error:
            context.telemetry.report(CutUnrecorded(stream.id, stream.publish, reason, by))
            self._enforcer.cut_without_strike(stream, VerdictReason.OPERATOR)
            if block_ms is None:
                return None
            problem = f"{stream_id} is being cut, and its broadcaster is not blocked: {error}"
            raise LedgerUnavailable(problem) from None
        if block is not None:
            context.view.add_block(block)  # before the publisher can come back
        self._enforcer.cut_without_strike(stream, VerdictReason.OPERATOR, block)
        if block is not None:
            self._blocks_made(block)
        return block

    async def confirm_block(self, block_id: str, reason: str, by: str) -> Block:
        """Records the second person's confirmation of a permanent manual block and of all blocks of its
        strike."""
        context = self._context
        now = context.clock.wall_ms()
        confirmed = await context.executor.person(
            context.operator_ledger.confirm_block, block_id, reason, by, now
        )
        self.blocks_changed(*confirmed, by=by)
        return confirmed[0]

    async def lift_block(self, block_id: str, reason: str, by: str) -> Block:
        context = self._context
        block = await context.executor.person(
            context.operator_ledger.lift_block, block_id, reason, by, context.clock.wall_ms()
        )
        self.blocks_changed(block, by=by)
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
        """Adds a manual strike and the block of its ladder step. Cuts the broadcaster's live streams."""
        context = self._context
        strike, blocks = await context.executor.person(
            context.operator_ledger.add_strike,
            context.policy,
            context.account(broadcaster),
            app,
            category,
            severity,
            reason,
            by,
            context.clock.wall_ms(),
            incident_id,
        )
        self._blocks_made(*blocks)
        return strike, blocks

    async def pardon_strike(self, strike_id: str, reason: str, by: str) -> Strike:
        """Undoes a strike as if it had never happened."""
        context = self._context
        now = context.clock.wall_ms()
        strike, undone = await context.executor.person(
            context.operator_ledger.pardon_strike, context.policy, strike_id, reason, by, now
        )
        self.blocks_changed(*undone.changed, by=by)
        return strike

    def blocks_changed(self, *blocks: Block, by: str) -> None:
        """Applies blocks that people, or the end of a time limit, have changed."""
        for block in blocks:
            changed = BlockChanged(block, by) if block.lifted_ms is None else BlockLifted(block, by)
            self._context.telemetry.report(changed)
        self._apply(blocks)

    def _blocks_made(self, *blocks: Block) -> None:
        for block in blocks:
            self._context.telemetry.report(BlockMade(block, block.created_by))
        self._apply(blocks)

    def _apply(self, blocks: tuple[Block, ...]) -> None:
        """Puts blocks in force and cuts the live streams that an active one names."""
        for block in blocks:
            self._context.view.add_block(block)
        self._enforcer.blocks_apply(blocks)
