"""Work that nobody waits for: kept from being forgotten half-done, and heard of when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

_Value = TypeVar("_Value")

log = structlog.get_logger(__name__)


class BackgroundTasks:
    """Tasks that are held until they end; one that fails is logged with its name and traceback.

    For work whose result nobody awaits. A task that its own function awaits needs none of this. Lives in one
    event loop.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, _Value], name: str = "") -> asyncio.Task[_Value]:
        """Run it at once. ``name``: for the log; the coroutine's own if empty."""
        task = asyncio.create_task(work, name=name or getattr(work, "__qualname__", None))
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def settle(self, timeout_s: float) -> None:
        """Waits for what is under way, and for what begins meanwhile, then cancels the rest."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._running and (left_s := end - loop.time()) > 0:
            await asyncio.wait(set(self._running), timeout=left_s)
        self.cancel()

    def cancel(self) -> None:
        """Tells all to end, and does not wait."""
        for task in list(self._running):
            task.cancel()

    async def aclose(self) -> None:
        """Cancels all, and waits until they have ended."""
        self.cancel()
        if self._running:
            await asyncio.wait(set(self._running))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", task=task.get_name(), exc_info=error)
