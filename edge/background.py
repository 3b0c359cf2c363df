"""Background tasks: keeps them alive until they end, and logs those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

_Value = TypeVar("_Value")

log = structlog.get_logger(__name__)


class BackgroundTasks:
    """Holds tasks until they end. Logs a failed one with its name and traceback.

    For work whose result nobody awaits; a task awaited by its own function does not need it. It belongs to
    one event loop.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Number of running tasks."""
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, _Value], name: str = "") -> asyncio.Task[_Value]:
        """Starts a task. ``name`` is for the log; empty means the coroutine's own name."""
        task = asyncio.create_task(work, name=name or getattr(work, "__qualname__", None))
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def settle(self, timeout_s: float) -> None:
        """Waits for running tasks and those that start meanwhile. Cancels the rest after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._running and (left_s := end - loop.time()) > 0:
            await asyncio.wait(set(self._running), timeout=left_s)
        self.cancel()

    def cancel(self) -> None:
        """Cancels all tasks, and does not wait."""
        for task in list(self._running):
            task.cancel()

    async def aclose(self) -> None:
        """Cancels all tasks, and waits until they have ended."""
        self.cancel()
        if self._running:
            await asyncio.wait(set(self._running))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed", task=task.get_name(), exc_info=error)
