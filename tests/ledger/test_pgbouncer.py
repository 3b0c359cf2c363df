"""The ledger and the fleet's news work through a real PgBouncer that pools sessions or transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from edge.domain import SubjectKind
from edge.errors import LedgerUnavailable
from edge.ladder import Sanction
from edge.ledger import DurableLedger, Ledger
from edge.ledger.snapshot import snapshot
from tests.conftest import require
from tests.ledger.test_feed import Edge, running
from tests.pgbouncer import pgbouncer, program
from tests.postgresql import Store

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Cluster

NOW = 1_700_000_000_000
FOREVER_S = 3600.0
TRANSACTION = "ignore_startup_parameters = options"


@pytest.fixture(params=["session", "transaction"])
def mode(request: pytest.FixtureRequest) -> str:
    require(program() is not None, "pgbouncer")
    return str(request.param)


@pytest.fixture
def database(postgresql: Cluster, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Folder of the server's socket, and an empty database."""
    uri: str = postgresql.server.get_uri()  # type: ignore[attr-defined]
    folder = Path(parse_qs(urlsplit(uri).query)["host"][0])
    name = f"pooled{next(postgresql.numbers)}"
    admin = postgresql.new_store(tmp_path)
    admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
    yield folder, name
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(database: tuple[Path, str], mode: str, tmp_path: Path) -> Iterator[Store]:
    with pgbouncer(*database, mode, pool_size=12, more=TRANSACTION * (mode == "transaction")) as url:
        yield Store(url.replace("postgresql:", "postgresql+psycopg:"), tmp_path / "journal.jsonl")


def test_everything_works(store: Store, make_incident: MakeIncident, mode: str) -> None:
    ledger = DurableLedger.open(store.url, store.journal, gate="one", busy_timeout_ms=5000)
    with capture_logs() as logs, running(Edge(store, poll_ms=50)) as other:
        made = [
            ledger.record_violation(make_incident(f"user{number}"), Sanction(), NOW) for number in range(12)
        ]
        assert {each.durable_in for each in made} == {"ledger"}
        block = ledger.add_block(SubjectKind.BROADCASTER, "berta", "", None, "spam", "root", NOW)
        other.until(lambda: any(block in batch for batch in other.batches))
        assert {each.id for each in ledger.blocks(wall_ms=NOW)} >= {block.id}
    assert ledger.audit_verify() == 13
    with snapshot(store.url) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM strikes").scalar() == 12
    ledger.close()
    deaf = [entry for entry in logs if "no notification" in entry["event"]]
    assert bool(deaf) == (mode == "transaction")


def test_each_transaction_brings_its_settings(store: Store) -> None:
    ledger = Ledger.open(store.url)
    for _ in range(3):
        with ledger._database.write_transaction("look") as connection:
            for name, wanted in (
                ("synchronous_commit", "on"),
                ("lock_timeout", "250ms"),
                ("idle_in_transaction_session_timeout", "5s"),
                ("transaction_isolation", "read committed"),
            ):
                assert connection.exec_driver_sql(f"SHOW {name}").scalar() == wanted
    ledger.close()
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "0"
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0


def test_a_listener_hears_through_sessions_and_gives_up_behind_transactions(store: Store, mode: str) -> None:
    ledger = Ledger.open(store.url)
    with ledger.change_listener() as changes:
        changes.listen()
        changes.listen()
        assert changes.listening == (mode == "session")
        if changes.listening:
            stopping = threading.Event()
            waiting = threading.Thread(target=changes.wait, args=(FOREVER_S, stopping))
            waiting.start()
            ledger.add_block(SubjectKind.BROADCASTER, "berta", "", None, "spam", "root", NOW)
            waiting.join(60)
            heard = not waiting.is_alive()
            stopping.set()
            waiting.join()
            assert heard
    ledger.close()


def test_a_pooler_that_refuses_a_setting_is_named(database: tuple[Path, str], tmp_path: Path) -> None:
    require(program() is not None, "pgbouncer")
    with pgbouncer(*database, "session") as url, pytest.raises(LedgerUnavailable, match="options"):
        Ledger.open(f"{url}?options=-c%20search_path%3Dx")


def test_statements_survive_another_server_connection(store: Store, mode: str) -> None:
    """One that was prepared under a name would be missing there."""
    ledger = Ledger.open(store.url)
    for _ in range(12):
        ledger.strikes_of("anna")
    others = [store.engine.connect() for _ in range(2)]
    for other in others:
        other.execution_options(isolation_level="READ COMMITTED")
        other.execute(sa.text("SELECT 1"))
    for _ in range(12):
        assert ledger.strikes_of("anna") == ()
    for other in others:
        other.close()
    ledger.close()
