"""Tells a gate that another gate changed a block: PostgreSQL's LISTEN, or only a timer on SQLite."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from edge.ledger.engine import deadline, unavailable

CHANNEL = "edge_gate_blocks"
_SLICE_S = 0.25
"""Longest wait before the listener checks whether the gate stops."""


def notify(connection: sa.Connection) -> None:
    """Notifies all listeners when the caller's transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


class ChangeListener:
    """One listener, used by one thread. Methods raise LedgerUnavailable when the connection is lost."""

    def __init__(self, engine: sa.Engine, patience_ms: int) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._patience_ms = patience_ms
        self._connection: sa.Connection | None = None

    def listen(self) -> None:
        """Starts to listen for commits. Reconnects if needed."""
        if self._connection is not None or self._engine.dialect.name != "postgresql":
            return
        with unavailable("listen"):
            connection = self._engine.connect()
            # Detached from the pool, the connection goes on listening while it is idle.
            connection.detach()
            self._connection = connection
        try:
            with unavailable("listen"), deadline(connection, self._patience_ms):
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        except BaseException:
            self.close()
            raise

    def wait(self, timeout_s: float, stopping: threading.Event) -> None:
        """Waits for a notification, at most ``timeout_s``, or until ``stopping`` is set."""
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
