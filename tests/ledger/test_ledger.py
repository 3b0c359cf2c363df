"""One violation makes one durable strike, once. A reversal undoes all of it."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from edge.domain import (
    PERMANENT_MS,
    Action,
    Incident,
    IncidentState,
    Publish,
    SubjectKind,
    Verdict,
    new_id,
    new_stream_id,
)
from edge.errors import AuditBroken, ConfigError, InvalidInput, LedgerUnavailable, NotFound, StaleVersion
from edge.ladder import Sanction
from edge.ledger import DurableLedger, Ledger
from edge.ledger.journal import Journal
from edge.ledger.tables import metadata
from edge.policy import DAY_MS, Policy, ReviewPolicy, UnreviewedOutcome

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Store

NOW = 1_700_000_000_000
SANCTION = Sanction(review=ReviewPolicy(detector=UnreviewedOutcome.STAND))


def test_migrations_make_the_tables_that_the_code_uses(ledger: DurableLedger, store: Store) -> None:
    inspector = sa.inspect(store.engine)
    for table in metadata.tables.values():
        found = {column["name"]: column for column in inspector.get_columns(table.name)}
        assert found.keys() == {column.name for column in table.columns}
        for column in table.columns:
            assert found[column.name]["nullable"] == bool(column.nullable), f"{table}.{column.name}"
        indexed = {tuple(index["column_names"]) for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            assert tuple(column.name for column in index.columns) in indexed


def test_a_violation_survives_reopening(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    incident = make_incident()
    violation = ledger.record_violation(incident, SANCTION, NOW + 5)
    assert violation.durable_in == "ledger"
    assert violation.incident == dataclasses.replace(incident, durable_ms=NOW + 5)
    kinds = {block.subject_kind: block.subject for block in violation.blocks}
    assert kinds == {SubjectKind.BROADCASTER: "anna", SubjectKind.STREAM_KEY: "k-1"}
    assert {block.until_ms for block in violation.blocks} == {NOW + 30 * DAY_MS}
    again = Ledger.open(store.url)
    assert again.incident(incident.id) == violation.incident
    assert set(again.active_blocks(NOW)) == set(violation.blocks)
    assert again.strikes_of("anna") == (violation.strike,)
    assert again.pending_cuts() == (violation.incident,)
    again.close()


def test_retries_and_second_causes_are_one_strike(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    incident = make_incident()
    first = ledger.record_violation(incident, SANCTION, NOW)
    assert ledger.record_violation(incident, SANCTION, NOW + 9) == first
    other_cause = dataclasses.replace(make_incident(), stream_id=incident.stream_id)
    assert ledger.record_violation(other_cause, SANCTION, NOW + 9).strike == first.strike
    assert len(ledger.strikes_of("anna")) == 1


def test_the_ladder_climbs_with_the_strikes_that_count(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    ends = [
        ledger.record_violation(make_incident(), SANCTION, NOW).blocks[0].until_ms - NOW for _ in range(3)
    ]
    assert ends == [30 * DAY_MS, 180 * DAY_MS, PERMANENT_MS - NOW]
    assert ledger.record_violation(make_incident("berta"), SANCTION, NOW).blocks[0].until_ms == (
        NOW + 30 * DAY_MS
    )


def test_overturning_lifts_block_and_strike_at_once(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    violation = ledger.record_violation(make_incident(), SANCTION, NOW)
    incident, lifted = ledger.review(
        violation.incident.id, IncidentState.OVERTURNED, "a film set", "rita", NOW + 10, Policy()
    )
    assert incident.state is IncidentState.OVERTURNED
    assert {block.id for block in lifted} == {block.id for block in violation.blocks}
    assert list(ledger.active_blocks(NOW + 11)) == []
    assert ledger.strikes_of("anna")[0].pardoned_ms == NOW + 10
    assert ledger.pending_cuts() == ()
    second = ledger.record_violation(make_incident(), SANCTION, NOW + 20)
    assert second.blocks[0].until_ms == NOW + 30 * DAY_MS
    with pytest.raises(InvalidInput, match="overturned already"):
        ledger.review(violation.incident.id, IncidentState.CONFIRMED, "x", "rita", NOW + 12, Policy())
    with pytest.raises(NotFound):
        ledger.review("in_none", IncidentState.CONFIRMED, "x", "rita", NOW, Policy())


def test_flags_and_shadow_leave_no_strike(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    flag, shadow = make_incident(action=Action.FLAG), make_incident(shadow=True)
    for incident in (flag, shadow, flag):
        ledger.record_incident(incident, NOW)
    assert [incident.id for incident in ledger.incidents()] == [shadow.id, flag.id]
    assert ledger.incidents(before_id=shadow.id) == (flag,)
    assert ledger.incidents(broadcaster="nobody") == ()
    assert ledger.strikes_of("anna") == ()
    assert ledger.pending_cuts() == ()


def test_marks_of_a_cut(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    incident = ledger.record_violation(make_incident(), SANCTION, NOW + 1).incident
    ledger.mark_cut_asked(incident.id, NOW + 2)
    ledger.mark_cut_confirmed(incident.id, NOW + 3, "hook")
    ledger.set_evidence(incident.id, "/evidence/clip.mp4", NOW + 8)
    stored = ledger.incident(incident.id)
    assert (stored.durable_ms, stored.cut_asked_ms, stored.cut_confirmed_ms) == (NOW + 1, NOW + 2, NOW + 3)
    assert (stored.confirmed_by, stored.evidence_path) == ("hook", "/evidence/clip.mp4")
    assert ledger.pending_cuts() == ()
    with pytest.raises(NotFound):
        ledger.mark_cut_asked("in_none", NOW)


def test_the_span_of_a_clip_says_where_in_it_the_verdict_is(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    made = make_incident(action=Action.FLAG)
    verdict = dataclasses.replace(made.verdict, begin_pts_ms=20_400, pts_ms=21_000)
    incident = dataclasses.replace(made, verdict=verdict)
    ledger.record_incident(incident, NOW)
    assert ledger.incident(incident.id).stretch_ms is None
    for span_pts_ms, stretch_ms in (
        ((9_500, 21_500), (10_900, 11_500)),
        ((20_600, 20_900), (0, 300)),
        ((0, 20_000), None),
    ):
        ledger.set_evidence(incident.id, "/evidence/clip.mp4", NOW + 1, span_pts_ms)
        assert ledger.incident(incident.id).stretch_ms == stretch_ms


def test_blocks_by_hand(ledger: DurableLedger) -> None:
    block = ledger.add_block(SubjectKind.ADDRESS, "192.0.2.0/24", "", None, "spam", "rita", NOW)
    assert block.until_ms == PERMANENT_MS
    with pytest.raises(InvalidInput, match="subject"):
        ledger.add_block(SubjectKind.ADDRESS, "192.0.2.9/24", "", None, "spam", "rita", NOW)
    short = ledger.add_block(SubjectKind.BROADCASTER, "berta", "live", 1000, "spam", "rita", NOW)
    assert {b.id for b in ledger.blocks(wall_ms=NOW)} == {block.id, short.id}
    assert {b.id for b in ledger.blocks(wall_ms=NOW + 1000)} == {block.id}
    lifted = ledger.lift_block(block.id, "mistake", "rita", NOW + 1)
    assert (lifted.lifted_by, lifted.lift_reason) == ("rita", "mistake")
    with pytest.raises(InvalidInput, match="already"):
        ledger.lift_block(block.id, "mistake", "rita", NOW + 2)
    assert ledger.blocks(wall_ms=NOW + 1000) == ()
    assert len(ledger.blocks(wall_ms=NOW + 1000, include_ended=True)) == 2


def test_policies_are_versioned(ledger: DurableLedger) -> None:
    assert ledger.policy_current() is None
    first = ledger.policy_put(Policy(), "anna", "start", NOW, None)
    second = ledger.policy_put(Policy(budget_ms=300), "rita", "slower box", NOW + 1, first.version)
    assert (first.version, second.version) == (1, 2)
    current, before = ledger.policy_history()
    assert ledger.policy_current() == current
    assert (current.parse(), current.created_ms, current.created_by) == (second, NOW + 1, "rita")
    assert (current.reason, before.reason) == ("slower box", "start")
    assert ledger.policy_version(1) == before
    assert before.parse() == first
    assert ledger.policy_history(before_version=2) == (before,)
    assert ledger.policy_version(9) is None
    with pytest.raises(StaleVersion, match="version 2 is in force"):
        ledger.policy_put(Policy(), "anna", "", NOW, 1)


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE number = 2", 2),
        ("UPDATE audit SET detail = '{}' WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("UPDATE audit SET previous = digest WHERE number = 4", 4),
        ("UPDATE audit SET number = 6 WHERE number = 5", 5),
    ],
)
def test_tampering_with_the_audit_log_is_found(
    statement: str, row: int, ledger: DurableLedger, make_incident: MakeIncident, store: Store
) -> None:
    for _ in range(5):
        ledger.record_violation(make_incident(), SANCTION, NOW)
    assert ledger.audit_verify() == 5
    with pytest.raises(DBAPIError, match="append-only"):
        store.execute(statement)
    store.drop_audit_triggers()
    store.execute(statement)
    with pytest.raises(AuditBroken) as caught:
        ledger.audit_verify()
    assert caught.value.number == row


def test_a_locked_database_is_unavailable_and_then_not(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    before = make_incident("berta")
    ledger.record_incident(before, NOW)
    with store.locked():
        with pytest.raises(
            LedgerUnavailable, match="another writer holds it; nothing was changed, try again"
        ):
            ledger.claim(before.id, "rita", NOW, DAY_MS)
        with pytest.raises(LedgerUnavailable):
            ledger.probe()
        assert ledger.incidents() == (before,), "whoever only reads waits for no writer"
        violation = ledger.record_violation(make_incident(), SANCTION, NOW)
        assert violation.durable_in == "journal"
    assert ledger.probe() == violation.blocks
    assert list(ledger.active_blocks(NOW)) == list(violation.blocks)
    assert ledger.strikes_of("anna") == (violation.strike,)
    assert not Journal(store.journal).size()
    assert ledger.record_violation(make_incident("berta"), SANCTION, NOW).durable_in == "ledger"


def test_a_gate_starts_while_another_writes(store: Store, ledger: DurableLedger) -> None:
    opened: list[DurableLedger] = []
    opening = threading.Thread(
        target=lambda: opened.append(DurableLedger.open(store.url, store.journal, busy_timeout_ms=20))
    )
    with store.locked():
        opening.start()
        opening.join(0.5)
        assert opening.is_alive()
    opening.join(30)
    assert opened[0].strikes_of("anna") == ()
    opened[0].close()


def test_a_person_waits_for_another_writer_and_the_gate_does_not(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    people = ledger.patient(60_000)
    done = threading.Event()

    def block() -> None:
        people.add_block(SubjectKind.BROADCASTER, "berta", "", DAY_MS, "spam", "rita", NOW)
        done.set()

    adding = threading.Thread(target=block)
    with store.locked():
        adding.start()
        # The gate's own write limit ends long before an operator's.
        assert ledger.record_violation(make_incident(), SANCTION, NOW).durable_in == "journal"
        assert not done.is_set()
    adding.join(30)
    assert done.is_set()
    with store.locked(), pytest.raises(LedgerUnavailable, match="try again"):
        ledger.patient(50).add_block(SubjectKind.BROADCASTER, "carla", "", DAY_MS, "spam", "rita", NOW)
    assert {block.subject for block in ledger.blocks(wall_ms=NOW)} >= {"berta"}
    assert ledger.blocks(wall_ms=NOW, subject="carla") == ()


def test_wrong_urls_are_clear(tmp_path: Path) -> None:
    for url in ("nonsense", "nosuchdialect://x", "oracle://x/y", "mssql+pyodbc://x/y"):
        with pytest.raises(ConfigError, match="ledger_url"):
            Ledger.open(url)
    with pytest.raises(LedgerUnavailable):
        Ledger.open(f"sqlite:///{tmp_path / 'no' / 'folder' / 'edge.db'}")
    with pytest.raises(LedgerUnavailable):
        Ledger.open("postgresql://127.0.0.1:9/edge")
    (tmp_path / "text.db").write_text("not a database at all, " * 100)
    with pytest.raises(LedgerUnavailable):
        Ledger.open(f"sqlite:///{tmp_path / 'text.db'}")


_WRITER = """
import itertools, sys
from edge.domain import *
from edge.ladder import Sanction
from edge.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
for number in itertools.count():
    publish = Publish("test", "c", "live", "s", f"{sys.argv[2]}{number}")
    incident = Incident(new_id("in"), new_stream_id(), publish, Verdict(Action.CUT, 0, -1), 1)
    ledger.record_violation(incident, Sanction(), 2)
    print(publish.broadcaster, flush=True)
"""


def start_writer(url: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _WRITER, url, name], stdout=subprocess.PIPE, text=True)


def test_kill_dash_nine_loses_nothing_that_was_promised(store: Store) -> None:
    writer = start_writer(store.url, "b")
    assert writer.stdout is not None
    promised = [writer.stdout.readline().strip() for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    promised += writer.stdout.read().split()
    writer.wait()
    ledger = Ledger.open(store.url)
    blocked = {block.subject for block in ledger.active_blocks(3)}
    assert set(promised) <= blocked
    assert len(blocked) <= len(promised) + 1
    assert ledger.audit_verify() == len(blocked)
    ledger.close()


def test_gates_that_write_at_once_count_every_strike_and_keep_one_chain(store: Store) -> None:
    gates = [Ledger.open(store.url, busy_timeout_ms=20_000) for _ in range(4)]

    def violate(number: int) -> int:
        publish = Publish("test", "c", "live", "s", f"b{number % 2}")
        incident = Incident(new_id("in"), new_stream_id(), publish, Verdict(Action.CUT, 0, -1), NOW)
        return gates[number % 4].record_violation(incident, SANCTION, NOW).blocks[0].until_ms - NOW

    with ThreadPoolExecutor(4) as threads:
        ends = sorted(threads.map(violate, range(40)))
    assert ends == [30 * DAY_MS] * 2 + [180 * DAY_MS] * 2 + [PERMANENT_MS - NOW] * 36
    assert gates[0].audit_verify() == 40
    for gate in gates:
        gate.close()
