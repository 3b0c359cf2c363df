"""Proven cuts: asks at once, retries with backoff, and stops only at a proof."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from cachetools import FIFOCache

from edge.background import BackgroundTasks, task_health
from edge.backoff import backoff_ms
from edge.crash_points import crash_point
from edge.errors import CallerGone, CutFailed, NotFound
from edge.servers.connector import FIRST_RETRY_MS, MAX_RETRY_MS, Connector, CutAttempt, CutTarget

SETTLE_MS = 250.0
"""A publisher that was never seen counts as gone after this absence. It may be about to start."""
_REMEMBERED = 4096
_NOBODY_LEFT = "nobody is left who could confirm the cut"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CutOutcome:
    """The result of a cut, or its progress when its limit is over."""

    confirmed: bool
    by: str
    """The proof: ``confirm_cut``, ``hook``, ``state_api`` or ``already_gone``. Empty without a proof."""
    attempts: int
    """Requests sent so far."""
    elapsed_ms: float


@dataclass(slots=True)
class _RunningCut:
    """A cut in progress."""

    started: float
    done: asyncio.Future[CutOutcome]
    attempts: int = 0
    task: asyncio.Task[None] | None = None
    hint: str = ""
    """Who says that the publisher is gone. The server is looked at next."""
    hinted: asyncio.Event = field(default_factory=asyncio.Event)

    def elapsed_ms(self) -> float:
        return (time.monotonic() - self.started) * 1000


class Cutter:
    """All cuts of one process, in one event loop. All causes for one stream share one running cut."""

    def __init__(self, spread: Callable[[], float] = random.random) -> None:
        self._spread = spread
        self._tasks = BackgroundTasks()
        self._running: dict[str, _RunningCut] = {}
        self._ended: FIFOCache[str, CutOutcome] = FIFOCache(_REMEMBERED)
        self._early: FIFOCache[str, str] = FIFOCache(_REMEMBERED)
        self._gone: FIFOCache[str, str] = FIFOCache(_REMEMBERED)
        self._abandoned: FIFOCache[str, None] = FIFOCache(_REMEMBERED)

    async def cut_stream(self, target: CutTarget, connector: Connector, *, limit_ms: float) -> CutOutcome:
        """Asks until the publisher is proven gone. Returns then, or after ``limit_ms``.

        After the limit the outcome is unconfirmed, and asking goes on in the background. ``wait`` then
        returns the confirmed outcome. Raises CutFailed if the cutter is closed, CallerGone if the cut is
        abandoned.
        """
        stream_id = target.stream_id
        if (ended := self._ended.get(stream_id)) is not None:
            return ended
        if stream_id in self._abandoned:
            del self._abandoned[stream_id]
            raise CallerGone(_NOBODY_LEFT)
        running = self._running.get(stream_id) or self._begin(target, connector)
        await asyncio.wait({running.done}, timeout=max(0.0, limit_ms - running.elapsed_ms()) / 1000)
        if running.done.done():
            return running.done.result()
        return CutOutcome(False, "", running.attempts, running.elapsed_ms())

    async def wait(self, stream_id: str) -> CutOutcome:
        """Waits until a cut is confirmed and returns its outcome.

        Raises NotFound for a stream that was never cut, CutFailed if the cutter is closed, and CallerGone
        if the cut is abandoned.
        """
        if (ended := self._ended.get(stream_id)) is not None:
            return ended
        running = self._running.get(stream_id)
        if running is None:
            raise NotFound("cut", stream_id)
        return await asyncio.shield(running.done)

    def confirm(self, stream_id: str, by: str) -> bool:
        """Somebody says that the publisher is gone. Returns whether a cut was waiting for it.

        ``by`` is ``confirm_cut`` or ``hook``. The server is looked at next: a publisher that is still live is
        not gone, whoever says so. Where the server cannot tell, the word counts. A word that comes before
        its cut is remembered for it.
        """
        running = self._running.get(stream_id)
        if running is None:
            if stream_id not in self._ended:
                self._early[stream_id] = by
            return False
        running.hint = by
        running.hinted.set()
        return True

    def gone_before(self, stream_id: str) -> None:
        """The server's hook has told the end of a publisher that is cut only now. Nobody is asked: another
        publisher may have the connection's reference by now."""
        self._gone[stream_id] = "hook"

    def abandon(self, stream_id: str) -> bool:
        """Ends a cut that nobody is left to confirm, also before it is asked for. Its waiters get CallerGone.
        Returns whether it was running."""
        running = self._running.pop(stream_id, None)
        if running is None:
            if stream_id not in self._ended:
                self._abandoned[stream_id] = None
            return False
        _fail(running, CallerGone(_NOBODY_LEFT))
        if running.task is not None:
            running.task.cancel()
        return True

    async def close(self) -> None:
        """Stops asking. Waiters of running cuts get CutFailed."""
        for running in self._running.values():
            _fail(running, CutFailed("the gate stops before the cut is confirmed"))
        self._running.clear()
        await self._tasks.aclose()

    def _begin(self, target: CutTarget, connector: Connector) -> _RunningCut:
        loop = asyncio.get_running_loop()
        running = _RunningCut(started=time.monotonic(), done=loop.create_future())
        self._running[target.stream_id] = running
        running.hint = self._early.pop(target.stream_id, "")
        if by := self._gone.pop(target.stream_id, ""):
            self._finish(target.stream_id, running, by)
        else:
            running.task = self._tasks.start(self._pursue(target, connector, running))
        return running

    def _finish(self, stream_id: str, running: _RunningCut, by: str) -> None:
        outcome = CutOutcome(True, by, running.attempts, running.elapsed_ms())
        del self._running[stream_id]
        self._ended[stream_id] = outcome
        if not running.done.done():
            running.done.set_result(outcome)
        if running.task is not None:
            running.task.cancel()

    async def _pursue(self, target: CutTarget, connector: Connector, running: _RunningCut) -> None:
        seen = maybe_worked = False
        absent_since: float | None = None
        if await self._proven_in(0, target, connector, running):
            return
        for attempt in itertools.count(1):
            running.attempts = attempt
            crash_point("cutter.ask")
            asked = await _ask(target, connector)
            crash_point("cutter.asked")
            live = await _look(target, connector)
            crash_point("cutter.looked")
            seen = seen or live is True or bool(asked.closed)
            # A request whose answer was lost may have worked.
            maybe_worked = maybe_worked or asked.closed != 0
            if live is not False:
                absent_since = None
            else:
                absent_since = absent_since or time.monotonic()
                if seen or time.monotonic() - absent_since >= SETTLE_MS / 1000:
                    by = "state_api" if seen or maybe_worked else "already_gone"
                    self._finish(target.stream_id, running, by)
                    return
            log.debug(
                "cut asked, not proven yet",
                stream_id=target.stream_id,
                server=connector.kind,
                attempt=attempt,
                closed=asked.closed,
                detail=asked.detail,
            )
            pause_ms = backoff_ms(attempt, FIRST_RETRY_MS, MAX_RETRY_MS, self._spread())
            if await self._proven_in(pause_ms, target, connector, running):
                return

    async def _proven_in(
        self, pause_ms: float, target: CutTarget, connector: Connector, running: _RunningCut
    ) -> bool:
        """Waits. Looks at the server whenever somebody says meanwhile that the publisher is gone, and returns
        True if the server does not deny that."""
        until = time.monotonic() + pause_ms / 1000
        while True:
            if by := running.hint:
                running.hint = ""
                running.hinted.clear()
                if await _look(target, connector) is not True:
                    self._finish(target.stream_id, running, by)
                    return True
                log.debug("the server still has the publisher", stream_id=target.stream_id, said_by=by)
            left_s = until - time.monotonic()
            if left_s <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await running.hinted.wait()


def _fail(running: _RunningCut, error: CutFailed) -> None:
    if not running.done.done():
        running.done.set_exception(error)
        running.done.exception()  # Marks the error as read, since perhaps nobody waits.


async def _ask(target: CutTarget, connector: Connector) -> CutAttempt:
    try:
        return await connector.cut_publisher(target)
    except Exception as error:
        # A connector's failure must not end the cut.
        task_health().failed("Connector.cut_publisher", error, server=connector.kind)
        return CutAttempt(False, None, str(error))


async def _look(target: CutTarget, connector: Connector) -> bool | None:
    try:
        return await connector.is_live(target)
    except Exception as error:
        task_health().failed("Connector.is_live", error, server=connector.kind)
        return None
