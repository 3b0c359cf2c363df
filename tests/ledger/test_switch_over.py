"""The standby becomes the primary, while the old primary stays reachable and read-only."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from benchmarks.servers.switch_over import Pair
from edge.domain import SubjectKind
from edge.errors import LedgerUnavailable, NotPrimary
from edge.ladder import Sanction
from edge.ledger import DurableLedger, Ledger
from edge.ledger.engine import Database, ledger_url
from tests.ledger.test_feed import Edge, running
from tests.postgresql import Store, in_schema

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident

NOW = 1_700_000_000_000
PATIENCE_S = 90.0
FOREVER_MS = 3_600_000


@pytest.fixture
def store(pair: Pair, tmp_path: Path) -> Store:
    return in_schema(f"{pair.url}?target_session_attrs=read-write", "ledger", tmp_path)


@pytest.fixture
def ledger(store: Store) -> Iterator[DurableLedger]:
    opened = DurableLedger.open(store.url, store.journal, gate="here", busy_timeout_ms=1500)
    yield opened
    opened.close()


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def until(works: Callable[[], object]) -> None:
    """Tries again while the ledger is away, as the gate does."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            works()
            return
        except LedgerUnavailable:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_standby_alone_is_not_served_from(pair: Pair, store: Store, ledger: DurableLedger) -> None:
    ledger.ping()
    url = f"postgresql://postgres@127.0.0.1:{pair.standby.port}/postgres"
    with pytest.raises(LedgerUnavailable, match="read-only"):
        Ledger.open(url)
    with pytest.raises(LedgerUnavailable, match="read-only"):
        Ledger.open(f"{url}?target_session_attrs=any")


def test_writes_reads_and_news_find_the_new_primary_and_nothing_is_lost(
    pair: Pair, store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    away: list[bool] = []
    other = Edge(store, poll_ms=100, on_away=away.append)
    with running(other), ledger.change_listener() as changes:
        changes.listen()
        before = ledger.record_violation(make_incident("anna"), Sanction(), NOW)
        other.until(lambda: len(other.view) >= 2)
        pair.make_read_only()
        # The connections still answer. Nothing is served or taken there.
        with pytest.raises(NotPrimary):
            ledger.strikes_of("anna")
        with pytest.raises(NotPrimary):
            changes.listen()
        meanwhile = ledger.record_violation(make_incident("berta"), Sanction(), NOW)
        assert meanwhile.durable_in == "journal"
        for works in (ledger.probe, ledger.revision, changes.listen, lambda: ledger.strikes_of("anna")):
            with pytest.raises(LedgerUnavailable):
                works()
        wait_for(lambda: away[-1:] == [True])
        pair.promote()
        until(ledger.probe)
        after = ledger.record_violation(make_incident("clara"), Sanction(), NOW)
        assert after.durable_in == "ledger"
        until(changes.listen)
        stopping = threading.Event()
        waiting = threading.Thread(target=changes.wait, args=(FOREVER_MS / 1000, stopping))
        waiting.start()
        block = ledger.add_block(SubjectKind.BROADCASTER, "dora", "", None, "spam", "root", NOW)
        waiting.join(PATIENCE_S)
        heard = not waiting.is_alive()
        stopping.set()
        waiting.join()
        assert heard
        other.until(lambda: any(block in batch for batch in other.batches))
    for violation in (before, meanwhile, after):
        assert ledger.strikes_of(violation.strike.broadcaster) == (violation.strike,)
        assert violation.blocks[0].id in {found.id for batch in other.batches for found in batch}
    assert ledger.audit_verify() == 4
    assert away[-1:] == [False]


def test_a_frozen_primary_gives_way_to_its_standby(
    pair: Pair, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    ledger.record_violation(make_incident("anna"), Sanction(), NOW)
    with pair.frozen(pair.primary):
        meanwhile = ledger.record_violation(make_incident("berta"), Sanction(), NOW)
        assert meanwhile.durable_in == "journal"
        pair.promote()
        until(ledger.probe)
        assert ledger.strikes_of("berta") == (meanwhile.strike,)


def test_a_cut_does_not_wait_for_a_connection(make_incident: MakeIncident, tmp_path: Path) -> None:
    """A stopped server's kernel takes connections. Nobody answers on them."""
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        port = stopped.getsockname()[1]
        ledger = DurableLedger.open(tmp_path / "edge.db", tmp_path / "journal.jsonl")
        ledger._database.close()
        engine = sa.create_engine(f"postgresql+psycopg://x@127.0.0.1:{port}/x?connect_timeout=20")
        ledger._database = Database(engine, 300)
        violation = ledger.record_violation(make_incident("anna"), Sanction(), NOW)
        assert violation.durable_in == "journal"
        line, _ = stopped.accept()
        line.setblocking(False)
        line.recv(4096)  # what it asks for first
        with pytest.raises(BlockingIOError):  # It still waits for an answer.
            line.recv(1)
        line.close()
        ledger.close()


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://u:p@one:5432,two:5433/db?connect_timeout=3", "one,two", "5432,5433"),
        ("postgres://one,two/db", "one,two", "5432,5432"),
        ("postgresql+psycopg://u@[::1]:1,[fe80::1]/db", "::1,fe80::1", "1,5432"),
        ("postgresql://%2Frun%2Fpostgresql:5433/db", "/run/postgresql", "5433"),
    ],
)
def test_a_url_may_name_several_hosts(url: str, host: str, port: str) -> None:
    parsed = ledger_url(url)
    assert parsed.drivername == "postgresql+psycopg"
    assert parsed.database == "db"
    assert (parsed.query["host"], parsed.query["port"]) == (host, port)
    assert parsed.password == ("p" if ":p@" in url else None)


@pytest.mark.parametrize("url", ["postgresql://u@one:x,two/db", "postgresql://u@one:1:2,two/db"])
def test_a_wrong_host_is_named(url: str) -> None:
    with pytest.raises(sa.exc.ArgumentError, match="one"):
        ledger_url(url)
