"""Work that nobody waits for, kept from being forgotten half-done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Tasks:
    """Running coroutines; one that fails is logged with its traceback."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def run(self, work: Coroutine[Any, Any, object]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def settle(self, timeout_s: float) -> None:
        """Waits for what is under way, and for what begins meanwhile, then cancels the rest."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._running and (left_s := end - loop.time()) > 0:
            await asyncio.wait(set(self._running), timeout=left_s)
        self.cancel()

    def cancel(self) -> None:
        for task in list(self._running):
            task.cancel()

    def _done(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", exc_info=error)
