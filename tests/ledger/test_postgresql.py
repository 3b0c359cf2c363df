"""Failures that only a database across a network can cause."""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import sqlalchemy as sa

from edge.domain import Publish
from edge.errors import InvalidInput, LedgerUnavailable
from edge.ladder import Sanction
from edge.ledger import DurableLedger, Ledger
from edge.ledger.journal import Journal
from edge.ledger.journal_entries import Violated
from edge.policy import ReviewPolicy, UnreviewedOutcome

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Cluster, Store

NOW = 1_700_000_000_000
SANCTION = Sanction(review=ReviewPolicy(detector=UnreviewedOutcome.STAND))


@contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """All processes of the server are stopped with open sockets, like a machine that is paused."""
    processes = [psutil.Process(postmaster), *psutil.Process(postmaster).children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


@pytest.fixture
def store(postgresql: Cluster, tmp_path: Path) -> Store:
    return postgresql.new_store(tmp_path)


def test_a_server_that_stands_still_holds_nobody_up(
    postgresql: Cluster, store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    before = ledger.record_violation(make_incident(), SANCTION, NOW)
    with frozen(postgresql.postmaster):
        meanwhile = [ledger.record_violation(make_incident(), SANCTION, NOW) for _ in range(3)]
        assert {violation.durable_in for violation in meanwhile} == {"journal"}
        with pytest.raises(LedgerUnavailable):
            ledger.reconcile()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            ledger.probe()
            break
        except LedgerUnavailable:
            time.sleep(0.1)
    strikes = {strike.id for strike in ledger.strikes_of("anna")}
    assert strikes == {violation.strike.id for violation in (before, *meanwhile)}
    assert ledger.audit_verify() == 4
    assert ledger.record_violation(make_incident(), SANCTION, NOW).durable_in == "ledger"


@contextmanager
def no_thread_left() -> Iterator[None]:
    """As in a container at its limit: there is no room for a thread's stack of 64 TiB."""
    before = threading.stack_size(1 << 46)
    try:
        yield
    finally:
        threading.stack_size(before)


def test_a_process_that_has_no_thread_left_writes_to_its_journal(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    ledger.ping()
    with no_thread_left():
        violation = ledger.record_violation(make_incident(), SANCTION, NOW)
        assert violation.durable_in == "journal"
        with pytest.raises(LedgerUnavailable, match="can't start new thread"):
            ledger.strikes_of("anna")
    assert ledger.probe() == violation.blocks
    assert ledger.strikes_of("anna") == (violation.strike,)


def test_a_process_that_has_no_descriptor_left_is_told_so(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    ledger.ping()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        # The journal needs a thread, too.
        with pytest.raises(LedgerUnavailable, match="Too many open files"):
            ledger.record_violation(make_incident(), SANCTION, NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert ledger.probe() == ()
    assert ledger.record_violation(make_incident(), SANCTION, NOW).durable_in == "ledger"


def test_connections_that_were_ended_are_opened_again(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    ledger.record_violation(make_incident(), SANCTION, NOW)
    store.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'edge-gate' AND datname = current_database()"
    )
    through_the_journal = ledger.record_violation(make_incident(), SANCTION, NOW)
    ledger.probe()
    assert ledger.record_violation(make_incident(), SANCTION, NOW).durable_in == "ledger"
    assert through_the_journal.strike in ledger.strikes_of("anna")
    assert len(ledger.strikes_of("anna")) == 3


def test_a_gate_that_stops_inside_a_transaction_gives_the_lock_back(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    other = Ledger.open(store.url)
    stuck = other._database._writer.connect()
    transaction = stuck.begin()
    with pytest.raises(LedgerUnavailable):
        ledger.ping()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            ledger.ping()
            break
        except LedgerUnavailable:
            time.sleep(0.1)
    assert ledger.record_violation(make_incident(), SANCTION, NOW).durable_in == "ledger"
    with pytest.raises(sa.exc.DBAPIError):
        stuck.exec_driver_sql("SELECT 1")
    transaction.close()
    stuck.close()
    other.close()


def test_commits_are_on_disk_when_they_return_whatever_the_server_prefers(store: Store) -> None:
    ledger = Ledger.open(store.url.replace("options=", "options=-c%20synchronous_commit%3Doff%20"))
    with ledger._database.write_transaction("look") as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        path = connection.exec_driver_sql("SHOW search_path").scalar()
        assert f"search_path%3D{path}" in store.url
    ledger.close()


def test_gates_that_start_at_once_migrate_once(store: Store) -> None:
    start = "import sys; from edge.ledger import Ledger; Ledger.open(sys.argv[1]).close()"
    gates = [subprocess.Popen([sys.executable, "-c", start, store.url]) for _ in range(3)]
    assert [gate.wait() for gate in gates] == [0, 0, 0]
    assert Ledger.open(store.url).audit_verify() == 0


def test_a_value_that_the_database_never_takes_holds_up_nothing_else(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        ledger.record_incident(make_incident("an\0na"), NOW)
    refused = ledger.record_violation(make_incident("an\0na"), SANCTION, NOW)
    assert refused.durable_in == "journal"
    with store.locked():
        waiting = ledger.record_violation(make_incident("berta"), SANCTION, NOW)
    assert ledger.probe() == waiting.blocks
    assert not Journal(store.journal).size()
    kept = Journal(store.journal.with_suffix(".damaged"))
    assert [entry.violation.strike for entry in kept.entries() if isinstance(entry, Violated)] == [
        refused.strike
    ]


def test_the_longest_names_that_a_gate_takes_fit(store: Store, make_incident: MakeIncident) -> None:
    ledger = Ledger.open(store.url, gate="g" * 128)
    app, name = "a" * 128, "n" * 256
    publish = Publish("s" * 64, "c" * 256, app, name, f"{app}/{name}", "f" * 64, {"stream_key": "k" * 512})
    incident = dataclasses.replace(make_incident(), publish=publish)
    violation = ledger.record_violation(incident, SANCTION, NOW)
    assert ledger.incident(incident.id) == violation.incident
    ledger.close()
