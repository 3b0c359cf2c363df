"""One row that a gate does not know hides no other row, whatever it holds and wherever it is."""

from __future__ import annotations

import ast
import dataclasses
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.domain import PERMANENT_MS, Block, Publish, SubjectKind
from edge.errors import LedgerUnavailable, UnknownRow
from edge.ladder import Sanction
from edge.ledger import AdmissionView, DurableLedger
from edge.ledger.blocks import Revision
from edge.ledger.journal import Journal
from edge.ledger.snapshot import snapshot
from edge.ledger.tables import metadata
from edge.policy import Policy, ReviewPolicy, UnreviewedOutcome
from edge.report.gather import gather
from edge.webhook.source import Source

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Store

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_700_000_000_000
HOUR_MS = 3_600_000
MANY = 10_000
SANCTION = Sanction(review=ReviewPolicy(detector=UnreviewedOutcome.STAND))
ODD: tuple[Any, ...] = (
    "",
    "of-a-newer-gate",
    "10.0.0.0/99",
    "null",
    "[]",
    '"\\ud800"',
    "[" * 4000,
    "1e999",
    b"\xff\xfe",
    1.5,
    None,
    True,
    -1,
    0,
    2**31,
    2**62,
    PERMANENT_MS + 1,
    -(2**62),
)
TABLES = ("incidents", "strikes", "blocks", "appeals", "policies", "audit")
"""Those whose rows decide. ``tests/fleet_banks`` has what a newer gate says of banks."""
CELLS = [
    (table.name, column.name)
    for table in metadata.sorted_tables
    if table.name in TABLES
    for column in table.columns
    if not column.primary_key  # a row with another key is another row
]


@dataclasses.dataclass(frozen=True)
class Filled:
    """A ledger in which each table holds a row that is changed, and one beside it."""

    ledger: DurableLedger
    store: Store
    make_incident: MakeIncident
    own: dict[str, Any]
    """Primary key of the row that is changed, by table."""
    beside: Block

    def change(self, table: str, column: str, value: Any) -> bool:
        """Whether the database takes the value."""
        (key,) = metadata.tables[table].primary_key.columns
        statement = f"UPDATE {table} SET {column} = :value WHERE {key.name} = :key"
        try:
            with self.store.engine.connect() as connection:
                connection.execute(sa.text(statement), {"value": value, "key": self.own[table]})
        except (sa.exc.DBAPIError, UnicodeEncodeError):
            return False
        return True

    def read(self, table: str, column: str) -> Any:
        (key,) = metadata.tables[table].primary_key.columns
        query = sa.text(f"SELECT {column} FROM {table} WHERE {key.name} = :key")
        with self.store.engine.connect() as connection:
            return connection.execute(query, {"key": self.own[table]}).scalar()


@pytest.fixture
def filled(ledger: DurableLedger, store: Store, make_incident: MakeIncident) -> Filled:
    policy = ledger.policy_put(Policy(), "root", "first", NOW, None)
    first = ledger.record_violation(make_incident("anna"), SANCTION, NOW)
    ledger.record_violation(make_incident("anna"), SANCTION, NOW + 1)
    beside = ledger.record_violation(make_incident("berta"), SANCTION, NOW)
    appeal = ledger.file_appeal("no", "platform", NOW, policy, incident_id=first.incident.id)
    ledger.policy_put(Policy(), "root", "second", NOW, None)
    store.drop_audit_triggers()
    return Filled(
        ledger,
        store,
        make_incident,
        {
            "incidents": first.incident.id,
            "strikes": first.strike.id,
            "blocks": first.blocks[0].id,
            "appeals": appeal.id,
            "policies": 2,
            "audit": 2,
        },
        beside.blocks[0],
    )


def publish(broadcaster: str, **attributes: str) -> Publish:
    return Publish("test", "c2", "live", "stream", broadcaster, "192.0.2.9", attributes)


def changes_of(ledger: DurableLedger) -> dict[str, Block]:
    """What a gate's feed reads from the beginning."""
    found: dict[str, Block] = {}
    revision = Revision()
    while (changes := ledger.changes_after(revision, 40)) is not None and changes.more:
        revision = changes.revision
        found |= {block.id: block for block in changes.blocks}
    return found


def check_everything(filled: Filled) -> None:
    """What a gate does with its ledger goes on, and finds the rows beside the changed one."""
    ledger, beside = filled.ledger, filled.beside
    view = AdmissionView()
    ledger.load_blocks(view, NOW)
    barred = view.check(publish("berta"), NOW)
    assert barred is not None
    assert barred.id == beside.id
    assert beside.id in changes_of(ledger)
    assert beside.id in {block.id for block in ledger.active_blocks(NOW)}
    assert beside.id in {block.id for block in ledger.blocks(wall_ms=NOW, limit=MANY)}
    assert beside.incident_id in {incident.id for incident in ledger.incidents(limit=MANY)}
    assert beside.incident_id in {incident.id for incident in ledger.pending_cuts()}
    assert ledger.strikes_of("berta")
    assert "berta" in {strike.broadcaster for strike in ledger.strikes(limit=MANY)}
    assert beside.id in {block.id for block in ledger.case(beside.incident_id or "").blocks}
    ledger.appeals()
    assert ledger.standings([filled.own["incidents"], beside.incident_id or ""], NOW)
    ledger.going_on(NOW)
    ledger.pending_bankings()
    assert ledger.policy_readable() is not None
    ledger.settle_unreviewed(Policy(), NOW + 365 * 24 * HOUR_MS)
    Source(ledger).after(0)
    with snapshot(filled.store.url) as connection:
        assert gather(connection, 0, PERMANENT_MS, NOW).cuts.cuts >= 1
    # A cut is on record, or its journal is brought home at once.
    ledger.record_violation(filled.make_incident("anna"), SANCTION, NOW + 2)
    ledger.probe()
    assert not Journal(filled.store.journal).size()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(CELLS), st.sampled_from(ODD))
@example(("blocks", "subject_kind"), "of-a-newer-gate")
@example(("strikes", "severity"), "of-a-newer-gate")
@example(("incidents", "state"), "of-a-newer-gate")
@example(("incidents", "verdict"), "[]")
@example(("incidents", "attributes"), "null")
@example(("appeals", "state"), "of-a-newer-gate")
@example(("policies", "json"), '{"version": 2, "a_newer_gates": 1}')
@example(("blocks", "subject"), "10.0.0.0/99")
@example(("blocks", "until_ms"), PERMANENT_MS + 1)
@example(("blocks", "reason"), b"\xff\xfe")
@example(("audit", "detail"), "[]")
def test_any_cell_may_hold_anything(filled: Filled, cell: tuple[str, str], value: Any) -> None:
    before = filled.read(*cell)
    if not filled.change(*cell, value):
        return
    try:
        check_everything(filled)
    finally:
        assert filled.change(*cell, before)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [("incidents", "verdict"), ("incidents", "attributes"), ("policies", "json"), ("audit", "detail")]
    ),
    st.data(),
)
def test_any_field_of_json_may_hold_anything(
    filled: Filled, cell: tuple[str, str], data: st.DataObject
) -> None:
    before = filled.read(*cell)
    document = json.loads(before)
    name = data.draw(st.sampled_from([*document, "of_a_newer_gate"]))
    odd: st.SearchStrategy[Any] = st.sampled_from(
        [None, [], {}, "x", "\ud800", -1, 1.5, 10**30, [[1]], [{}], {"a": [None]}]
    )
    assert filled.change(*cell, json.dumps({**document, name: data.draw(odd)}))
    try:
        check_everything(filled)
    finally:
        assert filled.change(*cell, before)


def test_a_block_of_an_unknown_kind_bars_whoever_states_its_subject(filled: Filled) -> None:
    assert filled.change("blocks", "subject_kind", "device")
    assert filled.change("blocks", "subject", "D-77")
    view = AdmissionView()
    filled.ledger.load_blocks(view, NOW)
    fed = AdmissionView()
    for block in changes_of(filled.ledger).values():
        fed.add_block(block)
    for each in (view, fed):
        found = each.check(publish("clara", serial="d-77"), NOW)
        assert found is not None
        assert found.subject_kind == "device"
        assert found.subject_kind not in tuple(SubjectKind)
        assert each.check(publish("D-77"), NOW) is not None
        assert each.check(publish("clara", serial="D-78"), NOW) is None
        each.remove(found.id)
        assert each.check(publish("D-77"), NOW) is None
    assert filled.ledger.unknown_rows.counts() == {"blocks": 1}


def test_a_network_of_an_unknown_kind_bars_its_addresses(filled: Filled) -> None:
    assert filled.change("blocks", "subject_kind", "carrier")
    assert filled.change("blocks", "subject", "192.0.2.0/28")
    view = AdmissionView()
    filled.ledger.load_blocks(view, NOW)
    assert view.check(publish("clara"), NOW) is not None
    assert view.check(dataclasses.replace(publish("clara"), address="192.0.2.77"), NOW) is None


def test_who_asks_for_an_unknown_row_is_told(filled: Filled) -> None:
    assert filled.change("incidents", "attributes", "null")
    with pytest.raises(UnknownRow, match="newer gate"):
        filled.ledger.incident(filled.own["incidents"])
    filled.ledger.incidents()
    assert filled.ledger.unknown_rows.counts() == {"incidents": 1}


def test_a_word_that_is_not_known_stays_when_its_row_is_written(filled: Filled) -> None:
    assert filled.change("strikes", "severity", "grave")
    filled.ledger.record_violation(filled.make_incident("anna"), SANCTION, NOW + 2)
    strike = next(each for each in filled.ledger.strikes() if each.id == filled.own["strikes"])
    filled.ledger.pardon_strike(Policy(), strike.id, "mistake", "root", NOW + 3)
    assert filled.read("strikes", "severity") == "grave"
    assert filled.read("strikes", "pardoned_by") == "root"


def _line(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _entry(kind: str, **values: object) -> bytes:
    return json.dumps({"kind": kind, **values}).encode()


@pytest.mark.parametrize(
    "entry",
    [
        _entry("of-a-newer-gate"),
        _entry("marked", incident_id="in_1", wall_ms=NOW, what="cut_asked", values={"of_a_newer_gate": 1}),
        _entry("marked", incident_id="OWN", wall_ms=NOW, what="cut_asked", values={"cut_asked_ms": {"a": 1}}),
        _entry("marked", incident_id="OWN", wall_ms="soon", what="cut_asked", values={"cut_asked_ms": 1}),
        _entry("opened", incident={"id": "in_2"}, wall_ms=NOW),
        _entry("stream_cut", stream_id=1, publish=[], reason={}, block_id=None, wall_ms=NOW),
        _entry("opened", incident="[" * 5000, wall_ms=NOW),
    ],
)
def test_an_unknown_entry_of_the_journal_holds_up_no_other(
    filled: Filled, entry: bytes, make_incident: Callable[..., Any]
) -> None:
    own = str(filled.own["incidents"]).encode()
    with filled.store.locked():
        before = filled.ledger.record_violation(make_incident("clara"), SANCTION, NOW)
        assert before.durable_in == "journal"
        with filled.store.journal.open("ab") as file:
            file.write(_line(entry.replace(b"OWN", own)))
        after = filled.ledger.record_violation(make_incident("dora"), SANCTION, NOW)
        with pytest.raises(LedgerUnavailable):
            filled.ledger.probe()
    filled.ledger.probe()
    assert filled.ledger.strikes_of("clara") == (before.strike,)
    assert filled.ledger.strikes_of("dora") == (after.strike,)
    assert filled.store.journal.with_suffix(".damaged").exists()
    assert filled.ledger.unknown_rows.counts().get("journal") == 1


ALONE = {"read_appeal", "read_block", "read_incident", "pardon_strike", "_violation_of"}
"""Who reads one row that somebody has named, and is told when it is not known."""


def test_whoever_reads_many_rows_skips_those_that_are_not_known() -> None:
    bare = {
        f"{path.name}: {function.name}"
        for path in sorted((ROOT / "edge" / "ledger").glob("*.py"))
        if path.name not in ("records.py", "journal_entries.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name not in ALONE
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr.endswith("_from_row")
    }
    assert not bare, "read rows by `readable`"
