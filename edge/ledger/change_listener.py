"""How a gate hears that another one has changed a block: PostgreSQL's LISTEN, or only a clock."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from edge.ledger.engine import deadline, unavailable

CHANNEL = "edge_gate_blocks"
_SLICE_S = 0.25
"""Longest wait before a look whether the gate stops."""


def notify(connection: sa.Connection) -> None:
    """Inside a transaction: everybody who listens hears of it when it commits."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


class ChangeListener:
    """One listener, in one thread. Methods raise LedgerUnavailable when its connection is lost."""

    def __init__(self, engine: sa.Engine, patience_ms: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._patience_ms = patience_ms
        self._connection: sa.Connection | None = None

    def listen(self) -> None:
        """From now on commits ring; connects again when that is needed."""
        if self._connection is not None or self._engine.dialect.name != "postgresql":
            return
        with unavailable("listen"):
            connection = self._engine.connect()
            # The connection stays out of the pool: it goes on listening when it is idle.
            connection.detach()
            self._connection = connection
        try:
            with unavailable("listen"), deadline(connection, self._patience_ms):
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        except BaseException:
            self.close()
            raise

    def wait(self, timeout_s: float, stopping: threading.Event) -> None:
        """Until it rings, at most ``timeout_s``, and not once ``stopping`` is set."""
        if self._connection is None:
            stopping.wait(timeout_s)
            return
        driver: Any = self._connection.connection.dbapi_connection
        end = time.monotonic() + timeout_s
        try:
            with unavailable("listen"):
                while (left := end - time.monotonic()) > 0 and not stopping.is_set():
                    for _ in driver.notifies(timeout=min(left, _SLICE_S), stop_after=1):
                        return
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
