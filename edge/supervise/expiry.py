"""Ends what is past its time: drops ended blocks from memory and records incidents that nobody reviewed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from edge.errors import GateError
from edge.ledger import AdmissionView
from edge.supervise.clock_jumps import ClockJumps
from edge.supervise.context import Context
from edge.telemetry.records import ClockStepped, ClockTrusted

_EXPIRE_MS = 600_000
_SETTLE_MS = 5_000
_SAY_MS = 60_000
"""Pause between two log lines about a clock that keeps stepping."""

log = structlog.get_logger(__name__)


class Expiry:
    """Acts only while the wall clock is trusted. Time limits hold by themselves, and a record cannot be
    undone.

    A clock that is set back revives blocks that it had ended before. They are loaded again at once.
    ``settle`` records incidents that nobody reviewed in time. It may raise GateError.
    """

    def __init__(self, context: Context, settle: Callable[[], Awaitable[None]]) -> None:
        self._context = context
        self._settle = settle
        self._clock = context.clock
        now = self._clock.monotonic_ms()
        self._steps = ClockJumps(self._clock.wall_ms(), now)
        self._stepped = False
        self._said_ms = now - _SAY_MS
        self._expire_at_ms = now + _EXPIRE_MS
        self._settle_at_ms = now + _SETTLE_MS

    async def sweep(self) -> None:
        """Runs once a second. Waits for the ledger."""
        context = self._context
        if self._clock_is_trusted():
            # No await may come between the check of the clock and the use of its time.
            now = self._clock.monotonic_ms()
            if now >= self._expire_at_ms:
                self._expire_at_ms = now + _EXPIRE_MS
                context.view.expire(self._clock.wall_ms())
            if now >= self._settle_at_ms and not context.executor.down:
                self._settle_at_ms = now + _SETTLE_MS
                await self._put_on_record()
        if context.view.lacks(self._clock.wall_ms()) and not context.executor.down:
            await self._load_again()

    def _clock_is_trusted(self) -> bool:
        now = self._clock.monotonic_ms()
        step_ms = self._steps.look(self._clock.wall_ms(), now)
        wait_s = round(self._steps.wait_ms / 1000)
        if step_ms != 0.0:
            self._stepped = True
            if now - self._said_ms >= _SAY_MS:
                self._said_ms = now
                self._context.telemetry.report(ClockStepped(round(step_ms / 1000), wait_s))
        trusted = self._steps.wait_ms == 0.0
        if trusted and self._stepped:
            self._stepped = False
            self._context.telemetry.report(ClockTrusted())
        return trusted

    async def _put_on_record(self) -> None:
        try:
            await self._settle()
        except GateError as error:
            log.warning("what nobody has reviewed waits for the ledger", error=str(error))

    async def _load_again(self) -> None:
        view, ledger = self._context.view, self._context.ledger
        now = self._clock.wall_ms()
        added = view.added()

        def read() -> AdmissionView:
            fresh = AdmissionView()
            ledger.load_blocks(fresh, now, without=added)
            return fresh

        with view.changes() as changed:
            try:
                fresh = await self._context.executor.call(read)
            except GateError as error:
                log.warning("the blocks that the clock had ended wait for the ledger", error=str(error))
                return
            view.replace_loaded(fresh, changed)
        log.warning("the wall clock was set back, the blocks are loaded again", blocks=len(view))
