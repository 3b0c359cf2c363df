"""The ledger's own thread: its calls block on disk, and the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from edge.errors import LedgerUnavailable
from edge.telemetry.metrics import Metrics

P = ParamSpec("P")
R = TypeVar("R")


class LedgerThread:
    """Runs ledger calls one after the other; notices when the ledger is away and when it is back."""

    def __init__(self, metrics: Metrics) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._metrics = metrics
        self.down = False

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a ledger method. Passes its errors on."""
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        except LedgerUnavailable:
            self.mark(down=True)
            raise
        self.mark(down=False)
        return result

    def mark(self, *, down: bool) -> None:
        self.down = down
        self._metrics.ledger_down.set(1 if down else 0)

    def close(self) -> None:
        self._executor.shutdown(wait=True)
