"""Opening the ledger's database: durability settings and migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from edge.errors import ConfigError, LedgerUnavailable

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str, busy_timeout_ms: int) -> sa.Engine:
    """An engine whose schema is current.

    SQLite: WAL with ``synchronous=FULL``, so that a commit is on disk before it returns, and writers
    that take their lock at the start. Raises ConfigError for a URL that cannot be used and
    LedgerUnavailable when the database is away.
    """
    try:
        engine = sa.create_engine(url)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(f"ledger_url: {error}") from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _sqlite_settings(busy_timeout_ms))
        sa.event.listen(engine, "begin", _sqlite_begin)
    with unavailable("open"), engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return engine


def _sqlite_settings(busy_timeout_ms: int) -> Any:
    def set_pragmas(connection: Any, record: object) -> None:
        # The driver's own transactions would begin late and deferred; SQLAlchemy's events begin them.
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


def _sqlite_begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Database errors as LedgerUnavailable, without the statement's values."""
    try:
        yield
    except DBAPIError as error:
        raise LedgerUnavailable(f"ledger, {doing}: {error.orig}") from None
