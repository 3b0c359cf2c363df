"""Decides from memory who may go live."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Final

from edge.domain import Block, Publish, new_stream_id
from edge.errors import NoPlace
from edge.notices import block_notice
from edge.policy import FailureMode
from edge.reasons import AdmissionReason, EndReason
from edge.servers.gatekeeper import Admission
from edge.supervise.authority import NOBODY, Caller
from edge.supervise.context import Context
from edge.supervise.live_stream import LiveStream
from edge.supervise.registry import MAX_STREAMS, PER_CLIENT
from edge.supervise.usage_counter import UsageCounter
from edge.telemetry.records import FailureModeUsed, NameResembles, PublishAdmitted, PublishRefused

_REUSED_AFTER_MS: Final = 10_000.0
"""A server may reuse a connection reference once its stream has been unwatched for this long."""

_NOTICE: Final = {AdmissionReason.QUOTA: AdmissionReason.CAPACITY}
"""A broadcaster is told the same of either."""


class Admitter:
    """Admits publishes.

    ``forget(stream, reason)`` ends a live stream whose connection reference is reused.
    ``refused_again(publish, caller)`` is called for every publish that a block refuses.
    """

    def __init__(
        self,
        context: Context,
        usage: UsageCounter,
        forget: Callable[[LiveStream, EndReason], None],
        refused_again: Callable[[Publish, Caller], None],
        wants_pull: Callable[[str], bool],
    ) -> None:
        self._context = context
        self._usage = usage
        self._forget = forget
        self._refused_again = refused_again
        self._wants_pull = wants_pull

    def admit(self, publish: Publish, caller: Caller = NOBODY) -> Admission:
        """Answers a publish. A repeated publish on one connection gets the same answer.

        ``caller`` is the peer that asks; hooks are nobody. The streams of each client are bounded, so that no
        client can take all places. A client that has connected anew asks again, and has its streams again.
        """
        context = self._context
        publish = dataclasses.replace(publish, broadcaster=context.account(publish.broadcaster))
        if context.draining:
            return self._refuse(publish, AdmissionReason.DRAINING)
        block = context.view.check(publish, context.clock.wall_ms())
        if block is not None:
            self._refused_again(publish, caller)
            return self._refuse(publish, AdmissionReason.BLOCKED, block)
        if context.executor.down:
            mode = context.in_force.for_publish(publish).failure.on_ledger_down
            context.telemetry.report(FailureModeUsed("on_ledger_down", mode.value))
            if mode is FailureMode.DENY:
                return self._refuse(publish, AdmissionReason.LEDGER_DOWN)
        known = context.registry.by_connection(publish.server, publish.connection, caller.client)
        if known is not None:
            if known.publish == publish and not known.cutting:
                known.admitted_by = caller
                return self._let_in(known)
            if known.cutting or self._is_on_air(known):
                detail = f"its connection is live as {known.id}"
                return self._refuse(publish, AdmissionReason.ALREADY_LIVE, detail=detail)
            # The server uses the reference again, so its old connection is gone.
            self._forget(known, EndReason.REPLACED)
        if pause_ms := context.pauses.left_ms(publish, context.clock.monotonic_ms()):
            until_ms = context.clock.wall_ms() + math.ceil(pause_ms)
            return self._refuse(publish, AdmissionReason.PAUSED, until_ms=until_ms)
        if context.pool.full:
            mode = context.in_force.for_publish(publish).failure.on_capacity
            context.telemetry.report(FailureModeUsed("on_capacity", mode.value))
            if mode is FailureMode.DENY:
                detail = "no worker has time for more, see workers.max_busy"
                return self._refuse(publish, AdmissionReason.CAPACITY, detail=detail)
        stream = LiveStream(
            id=new_stream_id(),
            publish=publish,
            admitted_by=caller,
            pushed=not self._wants_pull(publish.server),
            started_ms=context.clock.wall_ms(),
            idle_since_ms=context.clock.monotonic_ms(),
        )
        try:
            losers = context.registry.add_stream(stream)
        except NoPlace as error:
            shared = error.limit in (MAX_STREAMS, PER_CLIENT)
            reason = AdmissionReason.CAPACITY if shared else AdmissionReason.QUOTA
            return dataclasses.replace(self._refuse(publish, reason, detail=str(error)), crowded=shared)
        for loser in losers:
            self._forget(loser, EndReason.GAVE_WAY)
        return dataclasses.replace(self._let_in(stream), crowded=bool(losers))

    def _let_in(self, stream: LiveStream) -> Admission:
        context = self._context
        context.telemetry.report(PublishAdmitted(stream.id, stream.publish, len(context.registry)))
        alike = context.view.resembling(stream.publish, context.clock.wall_ms())
        if alike is not None:
            context.telemetry.report(NameResembles(stream.id, stream.publish, alike))
        return Admission(
            allowed=True,
            stream_id=stream.id,
            reason=AdmissionReason.ADMITTED,
            resembles_block_id="" if alike is None else alike.id,
        )

    def _refuse(
        self,
        publish: Publish,
        reason: AdmissionReason,
        block: Block | None = None,
        *,
        detail: str = "",
        until_ms: int = 0,
    ) -> Admission:
        block_id = "" if block is None else block.id
        self._context.telemetry.report(PublishRefused(publish, reason, block_id, detail))
        self._usage.refused(publish.app, reason)
        wall_ms = self._context.clock.wall_ms()
        return Admission(
            allowed=False,
            stream_id=None,
            reason=reason,
            until_ms=until_ms if block is None else block.until_ms,
            notice=block_notice(_NOTICE.get(reason, reason), block, wall_ms),
            block_id=block_id,
            provisional=block is not None and block.provisional_at(wall_ms),
        )

    def _is_on_air(self, known: LiveStream) -> bool:
        """Whether the stream may still be on air.

        A server may ask for a second publish on one connection, refuse it by itself and keep the first. The
        first must then not be forgotten.
        """
        idle_ms = self._context.clock.monotonic_ms() - known.idle_since_ms
        return known.pulls == 0 and (known.life.watched or idle_ms < _REUSED_AFTER_MS)
