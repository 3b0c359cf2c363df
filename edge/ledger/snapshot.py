"""A read-only view of the ledger at one moment, for audits and reports. Gates may run meanwhile."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from edge.errors import ConfigError
from edge.ledger.engine import ledger_url, unavailable
from edge.ledger.postgresql import connect_arguments
from edge.ledger.schema import NEWEST, version_of

_CONNECT_S = 10
_BUFFER = 1000


@contextmanager
def snapshot(url: str | Path) -> Iterator[sa.Connection]:
    """Yields a connection that sees what was committed when it opened, and cannot write.

    Results are streamed, so memory does not grow with the ledger. Raises ConfigError for a wrong URL or a
    database without a ledger of this version, and LedgerUnavailable when the database is away.
    """
    try:
        engine = _engine(ledger_url(url))
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(f"ledger_url: {error}") from None
    try:
        with unavailable("open"), engine.connect() as connection, connection.begin():
            _check_schema(connection)
            yield connection.execution_options(stream_results=True, max_row_buffer=_BUFFER)
    finally:
        engine.dispose()


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        if not path.is_file():
            raise ConfigError(f"ledger_url: {path} does not exist")
        engine = sa.create_engine("sqlite://", creator=lambda: _open_file(path), poolclass=sa.NullPool)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        return engine
    engine = sa.create_engine(
        url,
        poolclass=sa.NullPool,
        connect_args=connect_arguments("edge-gate-reader", connect_timeout=_CONNECT_S),
        use_native_hstore=False,
    )
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _open_file(path: Path) -> sqlite3.Connection:
    mode = "mode=ro"
    if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        # A copy on a read-only disk has no writer, and SQLite cannot create its shared memory there.
        mode = "immutable=1"
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True, timeout=_CONNECT_S)
    connection.isolation_level = None
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


def _check_schema(connection: sa.Connection) -> None:
    found = version_of(connection)
    if found is None:
        raise ConfigError("ledger_url: the database holds no ledger; `edge-gate serve` makes one")
    if found != NEWEST:
        raise ConfigError(
            f"ledger_url: the ledger's schema is {found} and this program reads {NEWEST}: a gate "
            "of the same version must have started on it once"
        )


def count(connection: sa.Connection, table: sa.Table) -> int:
    """Number of rows of a table."""
    number: Any = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
    return int(number or 0)
