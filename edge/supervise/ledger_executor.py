"""Runs ledger calls in threads, since they block on disk and the event loop must not block."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from edge.errors import LedgerUnavailable
from edge.telemetry.records import LedgerBack, LedgerDown
from edge.telemetry.telemetry import Telemetry

P = ParamSpec("P")
R = TypeVar("R")


class LedgerExecutor:
    """Runs ledger calls in order. Notices when the ledger is away and when it is back.

    ``away`` says whether a call that succeeded wrote to the journal instead.
    """

    def __init__(self, telemetry: Telemetry, away: Callable[[], bool]) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._urgent = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-urgent")
        self._operator_ledger = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-people")
        self._telemetry = telemetry
        self._away = away
        self._back = asyncio.Event()
        self._back.set()
        self._unwritten = False
        self._no_news = False

    @property
    def down(self) -> bool:
        return not self._back.is_set()

    async def back(self) -> None:
        """Waits until the ledger takes writes, as far as is known."""
        await self._back.wait()

    def news_away(self, away: bool) -> None:
        """Notes whether the changes of other gates arrive. Without them, what is in memory is out of
        date."""
        self._no_news = away
        self._refresh()

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs a ledger method. Passes its errors on."""
        return await self._run(self._executor, functools.partial(function, *args, **kwargs))

    async def urgent(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Like ``call``, but ahead of all queued calls: for a write that a cut waits for."""
        return await self._run(self._urgent, functools.partial(function, *args, **kwargs))

    async def person(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Like ``call``, but in its own thread: an operator's change may wait long for another writer."""
        return await self._run(self._operator_ledger, functools.partial(function, *args, **kwargs))

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], R]) -> R:
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(executor, work)
        except LedgerUnavailable:
            self._mark(down=True)
            raise
        self._mark(down=self._away())
        return result

    def _mark(self, *, down: bool) -> None:
        self._unwritten = down
        self._refresh()

    def _refresh(self) -> None:
        down = self._unwritten or self._no_news
        if down == self.down:
            return
        if down:
            self._back.clear()
        else:
            self._back.set()
        self._telemetry.report(LedgerDown() if down else LedgerBack())

    def close(self) -> None:
        self._urgent.shutdown(wait=True)
        self._operator_ledger.shutdown(wait=True)
        self._executor.shutdown(wait=True)
