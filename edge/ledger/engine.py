"""The ledger's database: durability, one writer at a time, bounded waits, migrations.

SQLite is the embedded default; PostgreSQL serves a fleet of gates. Only this file, those of PostgreSQL, the
migrations and the tests know which of the two it is.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from edge.errors import ConfigError, InvalidInput, LedgerUnavailable, NotPrimary
from edge.ledger import postgresql
from edge.ledger.schema import upgrade
from edge.ledger.unknown_rows import UnknownRows, noting, unknown_rows

_WRITES = "edge_gate_writes"
_LOCK_MS = "edge_gate_lock_ms"
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
        # SQLite has one lock for all writers.
        self._storer = engine if engine.dialect.name == "postgresql" else self._writer
        self._patience_ms = patience_ms
        self._write_ms = patience_ms + (lock_ms or 0)

    def patient(self, lock_ms: int) -> Database:
        """The same database for people, who rather wait for another writer than try again."""
        return Database(self._reader, self._patience_ms, lock_ms)

    def read(self, doing: str) -> AbstractContextManager[sa.Connection]:
        return self._transaction(self._reader, doing, self._patience_ms * _READ_PATIENCE)

    def write_transaction(self, doing: str) -> AbstractContextManager[sa.Connection]:
        return self._transaction(self._writer, doing, self._write_ms)

    def storing(self, doing: str) -> AbstractContextManager[sa.Connection]:
        """A write that keeps no other writer waiting: of rows that nobody reads before a later write names
        them."""
        return self._transaction(self._storer, doing, self._patience_ms * _READ_PATIENCE)

    @contextmanager
    def _transaction(self, engine: sa.Engine, doing: str, limit_ms: int) -> Iterator[sa.Connection]:
        with unavailable(doing), engine.connect() as connection:
            try:
                with deadline(connection, limit_ms), connection.begin():
                    yield connection
            except Exception as error:
                if isinstance(error, NotPrimary) or _sqlstate(error) == postgresql.READ_ONLY:
                    # All our connections are to that server. The next ones find the primary.
                    connection.invalidate()
                    self._reader.dispose()
                raise

    @property
    def shared(self) -> bool:
        """Whether gates on other machines may use it too."""
        return self._reader.dialect.name != "sqlite"

    @property
    def unknown_rows(self) -> UnknownRows:
        """The rows that could not be read."""
        return unknown_rows(self._reader)

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
    parsed = postgresql.parse_hosts(url)
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def check_ledger_url(url: str | Path) -> None:
    """Raises ConfigError for a URL that no driver here can use. It connects to nothing."""
    try:
        _engine(ledger_url(url), _OPENING_MS).dispose()
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(f"ledger_url: {error}") from None


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
    return Database(noting(engine, UnknownRows()), busy_timeout_ms)


def _engine(url: sa.URL, busy_timeout_ms: int) -> sa.Engine:
    match url.get_backend_name():
        case "sqlite":
            # An error must not quote a row: it may hold a stream key.
            engine = sa.create_engine(url, hide_parameters=True)
            sa.event.listen(engine, "connect", _sqlite_settings(busy_timeout_ms))
            sa.event.listen(engine, "begin", _sqlite_begin(busy_timeout_ms))
        case "postgresql":
            engine = postgresql.create_engine(url)
            sa.event.listen(engine, "begin", _postgresql_begin(busy_timeout_ms))
        case other:
            raise ConfigError(f"ledger_url: sqlite or postgresql, not {other}")
    return engine


def _sqlite_settings(busy_timeout_ms: int) -> Any:
    def set_pragmas(connection: Any, record: object) -> None:
        # The driver would begin its transactions late and deferred, so SQLAlchemy's events begin them.
        connection.isolation_level = None
        # Text edited by hand may be no UTF-8. One such row must not hide the others.
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
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


def _postgresql_begin(busy_timeout_ms: int) -> Any:
    # Shorter than the deadline, so waiting for another writer does not cost the connection.
    shortest_ms = max(1, busy_timeout_ms // 2)

    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        lock_ms = options.get(_LOCK_MS) or shortest_ms
        postgresql.begin(connection, lock_ms, writes=bool(options.get(_WRITES)))

    return begin


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
    InvalidInput for values that the database can never store: too long, with a NUL, or in conflict with a row
    that is there.
    """
    try:
        yield
    except NotPrimary as error:
        raise NotPrimary(f"ledger, {doing}: {error}") from None
    except (DataError, IntegrityError) as error:
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
    return _sqlstate(error) == postgresql.LOCK_NOT_AVAILABLE


def _sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code of a driver's error, or of SQLAlchemy's around it."""
    state: str | None = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state
