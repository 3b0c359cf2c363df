"""The ledger's database: durability, one writer at a time, bounded waits, migrations.

SQLite is the embedded default; PostgreSQL serves a fleet of gates. Only this file, the migrations and the
tests know which of the two it is.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from edge.errors import ConfigError, InvalidInput, LedgerUnavailable
from edge.ledger.schema import upgrade

_WRITES = "edge_gate_writes"
_LOCK_MS = "edge_gate_lock_ms"
_ADVISORY_KEY = 0x65646765_67617465
"""``edgegate`` in ASCII: the PostgreSQL advisory lock that every writing gate of a fleet takes."""
_LOCK_NOT_AVAILABLE = "55P03"
_CONNECT_S = 2
_IDLE_MS = 5_000
"""A gate that hangs inside a transaction loses its lock after this time."""
_READ_PATIENCE = 10
_OPENING_MS = 30_000


class Database:
    """Transactions with a time limit: a database that does not answer counts as away.

    ``read`` sees committed data and waits for nobody. ``write`` admits one writer at a time over all
    processes, so strikes are counted and the audit chain grows without gaps. A write is on disk once its
    ``with`` block ends without an error. Both raise LedgerUnavailable.

    ``lock_ms`` lengthens the wait of a write for another writer.
    """

    def __init__(self, engine: sa.Engine, patience_ms: int, lock_ms: int | None = None) -> None:
        self._reader = engine
        self._writer = engine.execution_options(**{_WRITES: True, _LOCK_MS: lock_ms})
        self._patience_ms = patience_ms
        self._write_ms = patience_ms + (lock_ms or 0)

    def patient(self, lock_ms: int) -> Database:
        """The same database for people, who rather wait for another writer than try again."""
        return Database(self._reader, self._patience_ms, lock_ms)

    @contextmanager
    def read(self, doing: str) -> Iterator[sa.Connection]:
        with (
            unavailable(doing),
            self._reader.connect() as connection,
            deadline(connection, self._patience_ms * _READ_PATIENCE),
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def write_transaction(self, doing: str) -> Iterator[sa.Connection]:
        with (
            unavailable(doing),
            self._writer.connect() as connection,
            deadline(connection, self._write_ms),
            connection.begin(),
        ):
            yield connection

    @property
    def shared(self) -> bool:
        """Whether gates on other machines may use it too."""
        return self._reader.dialect.name != "sqlite"

    @property
    def engine(self) -> sa.Engine:
        """For connections outside transactions."""
        return self._reader

    @property
    def patience_ms(self) -> int:
        return self._patience_ms

    def close(self) -> None:
        self._reader.dispose()


def ledger_url(url: str | Path) -> sa.URL:
    """The URL with the driver that the gate uses; a path is one of SQLite. Raises ArgumentError."""
    if isinstance(url, Path):
        return sa.URL.create("sqlite", database=str(url))
    parsed = sa.make_url(url)
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def open_database(url: str | Path, busy_timeout_ms: int) -> Database:
    """Opens a database and migrates its schema to the newest version.

    SQLite: WAL with ``synchronous=FULL``, so a commit is on disk before it returns; writers take their lock
    at the start. PostgreSQL: ``synchronous_commit=on``; writers share one advisory lock. Raises ConfigError
    for an unusable URL and LedgerUnavailable when the database is away.
    """
    try:
        parsed = ledger_url(url)
        # Opening waits longer for other writers, from the first connection on, which WAL recovery can delay.
        # A gate that gave up at once would not start on a busy ledger.
        opening = _engine(parsed, max(busy_timeout_ms, _OPENING_MS))
        engine = _engine(parsed, busy_timeout_ms)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(f"ledger_url: {error}") from None
    migrator = opening.execution_options(**{_WRITES: True})
    try:
        with unavailable("open"), migrator.begin() as connection:
            upgrade(connection)
    finally:
        opening.dispose()
    return Database(engine, busy_timeout_ms)


def _engine(url: sa.URL, busy_timeout_ms: int) -> sa.Engine:
    # An error must not quote a row: it may hold a stream key.
    engine = sa.create_engine(
        url, connect_args=_connect_arguments(url, busy_timeout_ms), hide_parameters=True
    )
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _sqlite_settings(busy_timeout_ms))
        sa.event.listen(engine, "begin", _sqlite_begin(busy_timeout_ms))
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "begin", _postgresql_begin)
    else:
        raise ConfigError(f"ledger_url: sqlite or postgresql, not {engine.dialect.name}")
    return engine


def _connect_arguments(url: sa.URL, busy_timeout_ms: int) -> dict[str, Any]:
    if not url.drivername.startswith("postgresql"):
        return {}
    settings = {
        "synchronous_commit": "on",
        "default_transaction_isolation": r"read\ committed",
        # Shorter than the deadline, so waiting for another writer does not cost the connection.
        "lock_timeout": max(1, busy_timeout_ms // 2),
        "idle_in_transaction_session_timeout": _IDLE_MS,
    }
    ours = [f"-c {name}={value}" for name, value in settings.items()]
    theirs = url.query.get("options", ())
    return {
        "connect_timeout": _CONNECT_S,
        # A listener only waits. Without keepalives it would never notice a cut cable.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "edge-gate",
        "options": " ".join([*((theirs,) if isinstance(theirs, str) else theirs), *ours]),
    }


def _sqlite_settings(busy_timeout_ms: int) -> Any:
    def set_pragmas(connection: Any, record: object) -> None:
        # The driver would begin its transactions late and deferred, so SQLAlchemy's events begin them.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={int(busy_timeout_ms)}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return set_pragmas


def _sqlite_begin(busy_timeout_ms: int) -> Any:
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if options.get(_WRITES):
            # The pooled connection may come from a writer with another timeout.
            lock_ms = options.get(_LOCK_MS) or busy_timeout_ms
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(lock_ms)}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN")

    return begin


def _postgresql_begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if lock_ms := options.get(_LOCK_MS):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(lock_ms)}")
    if options.get(_WRITES):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_KEY})")


@contextmanager
def deadline(connection: sa.Connection, limit_ms: int) -> Iterator[None]:
    """Closes the connection to a server that does not answer: a paused machine, a cut cable.

    The kernel of a paused server may still acknowledge packets. So neither TCP nor a time-out inside the
    server would end the wait. Raises OSError if the process has no descriptor or thread left.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    # A copy of the descriptor: another connection may soon reuse the number of a closed one.
    line = socket.socket(fileno=os.dup(driver.fileno()))
    timer = threading.Timer(limit_ms / 1000, _hang_up, (line,))
    timer.daemon = True
    try:
        try:
            timer.start()
        except RuntimeError as error:
            raise OSError(str(error)) from None
        yield
    finally:
        timer.cancel()
        line.close()


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turns database errors into LedgerUnavailable, without the statement's values.

    Covers missing resources of the process too: descriptors, threads, a pooled connection. Raises
    InvalidInput for values that the database can never store: too long, or with a NUL.
    """
    try:
        yield
    except DataError as error:
        raise InvalidInput(f"ledger, {doing}", str(error.orig)) from None
    except DBAPIError as error:
        if _is_locked(error.orig):
            problem = "another writer holds it; nothing was changed, try again"
            raise LedgerUnavailable(f"ledger, {doing}: {problem}") from None
        raise LedgerUnavailable(f"ledger, {doing}: {error.orig}") from None
    except (OSError, PoolTimeout) as error:
        raise LedgerUnavailable(f"ledger, {doing}: {error}") from None
    except Exception as error:
        # psycopg's own errors, which SQLAlchemy does not wrap.
        if any(kind.__module__.startswith("psycopg") for kind in type(error).__mro__):
            raise LedgerUnavailable(f"ledger, {doing}: {error}") from None
        raise


def _is_locked(error: BaseException | None) -> bool:
    """Whether the driver's error means that another writer held the lock too long."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
    return getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE
