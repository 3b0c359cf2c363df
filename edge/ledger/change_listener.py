"""Tells a gate that another gate changed a block: PostgreSQL's LISTEN, or only a timer on SQLite."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
import structlog

from edge.ledger.engine import deadline, unavailable

CHANNEL = "edge_gate_blocks"
BANKS_CHANNEL = "edge_gate_banks"
_SLICE_S = 0.25
"""Longest wait before the listener checks whether the gate stops."""
_HEARD_S = 1.0
_DEAF_S = 600.0
"""Pause before a pooler is tried again."""

log = structlog.get_logger(__name__)


def notify(connection: sa.Connection, channel: str = CHANNEL) -> None:
    """Notifies all listeners of a channel when the caller's transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {channel}")


class ChangeListener:
    """One listener, used by one thread. Methods raise LedgerUnavailable when the connection is lost, and
    NotPrimary when its server no longer is the primary.

    A pooler that gives each transaction another server connection passes no notification on. Then the
    listener is only a timer.
    """

    def __init__(self, engine: sa.Engine, patience_ms: int, channel: str = CHANNEL) -> None:
        self._channel = channel
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._patience_ms = patience_ms
        self._connection: sa.Connection | None = None
        self._deaf_until = 0.0
        self._said = False

    @property
    def listening(self) -> bool:
        """Whether notifications end a wait."""
        return self._connection is not None

    def listen(self) -> None:
        """Starts to listen for commits. Checks a connection that listens already."""
        if self._engine.dialect.name != "postgresql" or time.monotonic() < self._deaf_until:
            return
        try:
            with unavailable("listen"):
                if self._connection is not None:
                    with deadline(self._connection, self._patience_ms), self._connection.begin():
                        return
                self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        connection = self._engine.connect()
        # Detached from the pool, the connection goes on listening while it is idle.
        connection.detach()
        self._connection = connection
        driver: Any = connection.connection.dbapi_connection
        with deadline(connection, self._patience_ms):
            with connection.begin():
                pid = connection.exec_driver_sql("SELECT pg_catalog.pg_backend_pid()").scalar()
            connection.exec_driver_sql(f"LISTEN {self._channel}")
            connection.commit()
        if pid != driver.info.backend_pid and not self._hears(driver):
            self._stop_listening(connection)

    def _hears(self, driver: Any) -> bool:
        """Whether a notification of another connection comes through the pooler between us and the
        server."""
        with self._engine.connect() as other, deadline(other, self._patience_ms):
            other.exec_driver_sql(f"NOTIFY {self._channel}")
        return any(True for _ in driver.notifies(timeout=_HEARD_S, stop_after=1))

    def _stop_listening(self, connection: sa.Connection) -> None:
        self._deaf_until = time.monotonic() + _DEAF_S
        if not self._said:
            self._said = True
            log.warning(
                "no notification comes through the pooler before the database: the gate asks for news "
                "instead; a URL of the database itself, or session pooling, makes it faster"
            )
        with deadline(connection, self._patience_ms):
            connection.exec_driver_sql("UNLISTEN *")
        self.close()

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
