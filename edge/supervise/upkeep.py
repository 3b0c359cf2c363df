"""What a gate does once a second, or less often: it measures, forgets, and writes what waits."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from edge.background import BackgroundTasks
from edge.errors import GateError
from edge.match import RecentFootage
from edge.reasons import EndReason
from edge.supervise.banks_in_service import BanksInService
from edge.supervise.context import Context
from edge.supervise.enforcer import Enforcer
from edge.supervise.expiry import Expiry
from edge.supervise.journal_care import JournalCare
from edge.supervise.live_stream import LiveStream
from edge.supervise.model_swap import ModelSwap
from edge.supervise.response_queue import ResponseQueue
from edge.supervise.stream_router import StreamRouter
from edge.supervise.usage_counter import UsageCounter
from edge.telemetry.records import CallBroken, LedgerRowsUnknown, PoolSnapshot, ReviewsWaiting
from edge.turns import in_turns
from edge.workers.memory import GIVE_BACK_MS, give_back

_SWEEP_S: Final = 1.0
_GIVE_BACK_SWEEPS: Final = round(GIVE_BACK_MS / 1000 / _SWEEP_S)
_USAGE_SWEEPS: Final = 600
_REVIEWS_SWEEPS: Final = 10
_MODEL_S: Final = 600.0
_RECENT_S: Final = 60.0
_PULLED_FACTOR: Final = 20
"""Factor by which a hooked stream that cannot be pulled is kept longer. Its server has not said that it
ended."""

log = structlog.get_logger(__name__)


class Upkeep:
    """The periodic work of one gate. Each part of it is a service that is begun again if it fails.

    ``wants_pull`` says of a kind of server whether the gate pulls its streams. ``settle`` records incidents
    that nobody reviewed in time.
    """

    def __init__(
        self,
        context: Context,
        router: StreamRouter,
        enforcer: Enforcer,
        banks: BanksInService,
        model_swap: ModelSwap,
        journal_care: JournalCare,
        usage: UsageCounter,
        recent: RecentFootage,
        settle: Callable[[], Awaitable[None]],
        wants_pull: Callable[[str], bool],
    ) -> None:
        self._context = context
        self._router = router
        self._enforcer = enforcer
        self._banks = banks
        self._model_swap = model_swap
        self._journal_care = journal_care
        self._usage = usage
        self._recent = recent
        self._settle = settle
        self._wants_pull = wants_pull

    def start(self, tasks: BackgroundTasks) -> None:
        """Starts the services."""
        tasks.keep(self._sweep)
        tasks.keep(self._keep_ledger)
        tasks.keep(self._end_what_is_due)
        tasks.keep(self._look_after_model, needed=False)
        tasks.keep(self._keep_recent, needed=False)

    async def write_rest(self) -> None:
        """Writes what the services would write later. The last call, once they are stopped."""
        await self._write_usage()
        await self._save_recent()

    async def _sweep(self) -> None:
        """Reports measurements and forgets admitted streams that nobody watches, once a second."""
        for number in itertools.count(1):
            await asyncio.sleep(_SWEEP_S)
            if number % _GIVE_BACK_SWEEPS == 0:
                give_back()
            self.measure()
            self._enforcer.sweep()
            self._context.telemetry.flush()
            await self.forget_unwatched()

    async def _keep_ledger(self) -> None:
        """Moves the journal into the ledger when the ledger is back. It may wait for the ledger; a sweep
        may not."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                probe = (
                    self._context.ledger.probe
                    if self._context.executor.down
                    else self._context.ledger.reconcile
                )
                for block in await self._context.executor.call(probe):
                    self._context.view.update(block)
            except GateError as error:
                log.warning("the journal waits for the ledger", error=str(error))
            await self._journal_care.look()

    async def _end_what_is_due(self) -> None:
        """A service of its own, so that nothing here keeps the journal from the ledger."""
        expiry = Expiry(self._context, self._settle)
        for number in itertools.count(1):
            await asyncio.sleep(_SWEEP_S)
            if number % _USAGE_SWEEPS == 0:
                await self._write_usage()
            if number % _REVIEWS_SWEEPS == 1:
                await self.measure_reviews()
            await expiry.sweep()

    async def _keep_recent(self) -> None:
        while True:
            await asyncio.sleep(_RECENT_S)
            await self._save_recent()

    async def _save_recent(self) -> None:
        try:
            await asyncio.to_thread(self._recent.save)
        except OSError as error:
            log.warning("recent footage waits for the disk", error=str(error))

    async def _look_after_model(self) -> None:
        while True:
            await self._model_swap.look_after()
            await asyncio.sleep(_MODEL_S)

    async def forget_unwatched(self) -> None:
        """Forgets admitted streams that nobody watches, and ends calls that bring nothing."""
        limit = self._context.settings.limits.unwatched_ms
        now = self._context.clock.monotonic_ms()
        async for stream in in_turns(self._context.registry):
            if stream.responses is not None:
                self._end_if_silent(stream, stream.responses)
                continue
            if now - stream.idle_since_ms <= limit:
                continue
            if stream.is_unused:
                pulled = stream.url is not None and not stream.life.caller_is_done
                if not pulled or now - stream.idle_since_ms > _PULLED_FACTOR * limit:
                    self._router.ends.forget(stream, EndReason.UNWATCHED)
            elif stream.cutting and not self._wants_pull(stream.publish.server):
                self._enforcer.abandon(stream)

    def _end_if_silent(self, stream: LiveStream, responses: ResponseQueue) -> None:
        """Ends the call of a caller that pushes nothing, so that it does not hold its place for ever."""
        limit = self._context.settings.limits.push_stall_ms
        silent_ms = self._context.clock.monotonic_ms() - stream.fed_ms
        if stream.url is not None or stream.cutting or responses.closed or silent_ms <= limit:
            return
        self._context.telemetry.report(CallBroken("no_media"))
        self._router.silent(stream)

    async def _write_usage(self) -> None:
        counted = self._usage.take()
        if counted is None:
            return
        try:
            await self._context.executor.call(
                self._context.ledger.record_usage, counted, self._context.clock.wall_ms()
            )
        except GateError as error:
            log.warning("usage waits for the ledger", error=str(error))
            self._usage.put_back(counted)

    async def measure_reviews(self) -> None:
        """Says how long the oldest incident has waited for people."""
        try:
            counted = await self._context.executor.call(self._context.ledger.waiting_by_state)
        except GateError as error:
            log.warning("nobody knows which incidents wait", error=str(error))
            return
        now = self._context.clock.wall_ms()
        self._context.telemetry.report(
            ReviewsWaiting(
                {state.value: each.incidents for state, each in counted.items()},
                {
                    state.value: max(0, now - (now if each.oldest_ms is None else each.oldest_ms)) / 1000
                    for state, each in counted.items()
                },
            )
        )

    def measure(self) -> None:
        """Reports what the workers and the ledger count."""
        pool = self._context.pool
        for table, rows in self._context.ledger.unknown_rows.counts().items():
            self._context.telemetry.report(LedgerRowsUnknown(table, rows))
        self._banks.workers_report(pool.banks_unreadable, pool.matching_failed)
        self._context.telemetry.report(
            PoolSnapshot(
                workers=pool.loads(),
                streams_by_tier=pool.streams_by_tier(),
                preempted=pool.preempted,
                frames_decoded=pool.decoded,
                samples_judged=pool.judged,
                bank_hashes=pool.bank_hashes,
                banks_unreadable=max(pool.banks_unreadable, self._banks.unreadable),
                bank_searches_cut_short=pool.bank_searches_cut_short,
            )
        )
