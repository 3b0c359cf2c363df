"""Background tasks: keeps them alive until they end, reports those that fail, and begins services again.

Nothing else in ``edge`` starts a task, so that none fails in silence.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import structlog

from edge.backoff import backoff_ms

_Value = TypeVar("_Value")

FIRST_PAUSE_MS: Final = 200
MOST_PAUSE_MS: Final = 30_000
STEADY_S: Final = 3.0
"""A service that was begun again is up once it has run for this long."""
SHOWN_S: Final = 600.0
"""How long health shows that a task has failed."""

log = structlog.get_logger(__name__)


class TaskHealth:
    """What has failed of the background work of one event loop. ``task_health`` returns it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._time = loop.time
        self._failed_s: dict[str, float] = {}
        self._down: dict[asyncio.Task[Any], tuple[str, str, bool]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.failures: Counter[str] = Counter()
        """Failures so far, by the name of the task."""

    def listen(self, failed: Callable[[str], None]) -> None:
        """``failed`` gets the name of each task that fails from now on."""
        self._listeners.append(failed)

    def failed(self, name: str, error: BaseException, **about: object) -> None:
        """Logs and counts a failure. ``about`` goes into the log line."""
        log.error("background work failed", task=name, exc_info=error, **about)
        self.failures[name] += 1
        self._failed_s[name] = self._time()
        for listener in self._listeners:
            listener(name)

    def needed_down(self) -> list[str]:
        """Names of the needed services that do not run."""
        return sorted({name for name, _, needed in self._down.values() if needed})

    def lines(self) -> Iterator[str]:
        """Yields a line for each service that is down, and for each task that failed lately."""
        down = {name: error for name, error, _ in self._down.values()}
        for name, error in sorted(down.items()):
            yield f"task: {name} is down after {error}, it is begun again"
        now = self._time()
        for name, failed_s in sorted(self._failed_s.items()):
            if name not in down and now - failed_s < SHOWN_S:
                yield f"task: {name} failed in the last {SHOWN_S / 60:.0f} minutes"

    def set_down(self, task: asyncio.Task[Any], name: str, error: BaseException, *, needed: bool) -> None:
        """Says that a service does not run."""
        self._down[task] = name, type(error).__name__, needed

    def set_up(self, task: asyncio.Task[Any]) -> None:
        """Says that a service runs, or is not wanted any more."""
        self._down.pop(task, None)


_HEALTH: WeakKeyDictionary[asyncio.AbstractEventLoop, TaskHealth] = WeakKeyDictionary()


def task_health() -> TaskHealth:
    """Returns the health of the running event loop's tasks."""
    loop = asyncio.get_running_loop()
    health = _HEALTH.get(loop)
    if health is None:
        health = _HEALTH[loop] = TaskHealth(loop)
    return health


class BackgroundTasks:
    """Holds tasks until they end. It belongs to one event loop."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Number of running tasks."""
        return len(self._running)

    def start(
        self, work: Coroutine[Any, Any, _Value], name: str = "", *, awaited: bool = False
    ) -> asyncio.Task[_Value]:
        """Starts a task. Its failure is reported, unless it is ``awaited`` by who starts it.

        ``name`` is for log and metrics; empty means the coroutine's own name.
        """
        task = asyncio.create_task(work, name=name or getattr(work, "__qualname__", None))
        self._running.add(task)
        task.add_done_callback(self._running.discard if awaited else self._done)
        return task

    def keep(
        self, work: Callable[[], Coroutine[Any, Any, object]], name: str = "", *, needed: bool = True
    ) -> asyncio.Task[None]:
        """Starts a service: ``work`` runs until it returns. Whenever it raises, that is reported, and it is
        begun again after a pause that grows.

        The gate is not ready while a ``needed`` service is down.
        """
        name = name or getattr(work, "func", work).__qualname__  # ``func`` of a partial
        return self.start(_kept(work, name, needed), name)

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
            task_health().failed(task.get_name(), error)


async def _kept(work: Callable[[], Coroutine[Any, Any, object]], name: str, needed: bool) -> None:
    loop, health, task = asyncio.get_running_loop(), task_health(), asyncio.current_task()
    assert task is not None
    failures = 0
    try:
        while True:
            steady, began_s = loop.call_later(STEADY_S, health.set_up, task), loop.time()
            try:
                await work()
                return
            except Exception as error:
                health.failed(name, error)
                health.set_down(task, name, error, needed=needed)
            finally:
                steady.cancel()
            failures = 1 if loop.time() - began_s >= STEADY_S else failures + 1
            await asyncio.sleep(backoff_ms(failures, FIRST_PAUSE_MS, MOST_PAUSE_MS) / 1000)
    finally:
        health.set_up(task)
