"""Any manual change, in any column of any row, is detected and named."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import Action, IncidentState, Severity, SubjectKind
from edge.errors import ConfigError, InvalidInput
from edge.ladder import Sanction
from edge.ledger import DurableLedger
from edge.ledger.audit import GENESIS, AuditRow, append, digest_of
from edge.ledger.audit_export import ExportFormat, read_rows, write_rows
from edge.ledger.proof import PROVEN_TABLES, Head, Proof, Prover, parse_head
from edge.ledger.snapshot import snapshot
from edge.ledger.tables import audit, blocks
from edge.policy import Policy, ReviewPolicy
from edge.reasons import UnconfirmedReason

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Store

NOW = 1_700_000_000_000
SANCTION = Sanction()

TABLES = {table.name: table for table in PROVEN_TABLES}
WRITTEN = {"policies", "incidents", "strikes", "blocks", "appeals"}
POLICY = Policy(review=ReviewPolicy(two_person_permanent=True))


@dataclasses.dataclass
class Copy:
    """A whole ledger in memory."""

    log: list[AuditRow]
    rows: dict[str, list[dict[str, Any]]]

    @classmethod
    def of(cls, url: str) -> Copy:
        with snapshot(url) as connection:
            log = [AuditRow(*row) for row in connection.execute(sa.select(audit).order_by(audit.c.number))]
            rows = {
                table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in PROVEN_TABLES
            }
        return cls(log, rows)

    def proof(self, expected: Iterable[Head] = ()) -> Proof:
        prover = Prover(expected)
        for _ in prover.entries(self.log):
            pass
        for name, rows in self.rows.items():
            for row in rows:
                prover.row(TABLES[name], row)
        return prover.finish()

    @property
    def head(self) -> Head:
        return Head(self.log[-1].number, self.log[-1].digest)


@pytest.fixture
def lived(early: DurableLedger, make_incident: MakeIncident) -> DurableLedger:
    """At least one decision of every kind."""
    people_at_work(early, make_incident)
    return early


@pytest.fixture
def early(ledger: DurableLedger, make_incident: MakeIncident) -> DurableLedger:
    """One decision of every kind that the first version knew."""
    ledger.policy_put(Policy(), "gate", "first start", NOW, None)
    ledger.policy_put(Policy(budget_ms=300), "anna", "slower machine", NOW + 1, 1)
    cut, overturned, flag = make_incident(), make_incident("berta"), make_incident(action=Action.FLAG)
    for incident in (cut, overturned):
        ledger.record_violation(incident, SANCTION, NOW + 2)
        ledger.mark_cut_asked(incident.id, NOW + 3, NOW + 2)
        ledger.mark_cut_confirmed(incident.id, NOW + 4, "hook")
        ledger.set_evidence(incident.id, f"/evidence/{incident.id}.mp4", NOW + 5)
    ledger.record_incident(flag, NOW + 6)
    ledger.review(cut.id, IncidentState.CONFIRMED, "a fight", "anna", NOW + 7, POLICY)
    ledger.review(overturned.id, IncidentState.OVERTURNED, "a film", "anna", NOW + 8, POLICY)
    block = ledger.add_block(SubjectKind.BROADCASTER, "carl", "", 60_000, "spam", "anna", NOW + 9)
    ledger.add_block(SubjectKind.ADDRESS, "192.0.2.0/24", "live", None, "raid", "anna", NOW + 10)
    ledger.lift_block(block.id, "mistake", "dora", NOW + 11)
    return ledger


def people_at_work(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    """Claims, appeals, manual strikes, pardons, second confirmations, and unreviewed incidents."""
    flag = make_incident(action=Action.FLAG)
    ledger.record_incident(flag, NOW + 11)
    ledger.claim(flag.id, "anna", NOW + 12, 60_000)
    ledger.release(flag.id, "anna", NOW + 13)
    given, _ = ledger.add_strike(
        POLICY, "", "", "", Severity.SEVERE, "seen", "anna", NOW + 14, incident_id=flag.id
    )
    forever = ledger.add_block(
        SubjectKind.ATTRIBUTE, "device=7", "", None, "raid", "anna", NOW + 15, POLICY.review
    )
    ledger.confirm_block(forever.id, "so it is", "dora", NOW + 16)
    for n, grant in enumerate((True, False)):
        made = ledger.add_block(SubjectKind.BROADCASTER, f"eva{n}", "", 60_000, "spam", "anna", NOW + 17)
        appeal = ledger.file_appeal("not me", "shop", NOW + 18, POLICY, block_id=made.id)
        if grant:
            ledger.lift_block(made.id, "not her", "dora", NOW + 19)
        else:
            ledger.deny_appeal(appeal.id, "it was her", "dora", NOW + 19)
    ledger.pardon_strike(POLICY, given.id, "her first", "dora", NOW + 20)
    unseen = make_incident("fritz", created_ms=NOW + 20)
    violation = ledger.record_violation(unseen, SANCTION, NOW + 21)
    ledger.mark_cut_unconfirmed(unseen.id, NOW + 22, UnconfirmedReason.LIMIT)
    due_ms = violation.blocks[0].until_ms + 600_000
    assert {block.id for block in ledger.settle_unreviewed(POLICY, due_ms)} >= {
        block.id for block in violation.blocks
    }


def other(value: object) -> Any:
    """Another value of the same type."""
    if value is None:
        return 7
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x"


def test_what_was_not_touched_is_proven(store: Store, lived: DurableLedger) -> None:
    whole = Copy.of(store.url)
    proof = whole.proof([whole.head])
    assert (proof.ok, proof.findings, proof.unproven) == (True, [], 0)
    assert proof.entries == len(whole.log) == lived.audit_verify()
    assert proof.rows == sum(len(rows) for rows in whole.rows.values())
    assert all(whole.rows[name] for name in WRITTEN)


def test_any_changed_column_of_any_row_is_found(store: Store, lived: DurableLedger) -> None:
    whole = Copy.of(store.url)
    tried = 0
    for name, rows in whole.rows.items():
        (key,) = TABLES[name].primary_key.columns
        for index, row in enumerate(rows):
            for column in TABLES[name].columns:
                changed = [*rows[:index], {**row, column.name: other(row[column.name])}, *rows[index + 1 :]]
                tampered = Copy(whole.log, {**whole.rows, name: changed})
                named = {finding.row for finding in tampered.proof().findings}
                assert f"{name} {row[key.name]}" in named, f"{name}.{column.name}"
                tried += 1
    assert tried >= 100


def test_any_changed_column_of_any_audit_entry_is_found(store: Store, lived: DurableLedger) -> None:
    whole = Copy.of(store.url)
    for index, entry in enumerate(whole.log):
        for field in dataclasses.fields(AuditRow):
            tampered = dataclasses.replace(entry, **{field.name: other(getattr(entry, field.name))})
            for changed in {tampered, dataclasses.replace(tampered, digest=digest_of(tampered))} - {entry}:
                log = [*whole.log[:index], changed, *whole.log[index + 1 :]]
                findings = Copy(log, whole.rows).proof([whole.head]).findings
                near = {f"audit {number}" for number in (entry.number, entry.number + 1)}
                assert near & {finding.row for finding in findings}, field.name


def test_removed_inserted_and_reordered_rows_are_found(store: Store, lived: DurableLedger) -> None:
    whole = Copy.of(store.url)
    for name, rows in whole.rows.items():
        (key,) = TABLES[name].primary_key.columns
        for index, row in enumerate(rows):
            less = copy.deepcopy(whole)
            del less.rows[name][index]
            (finding,) = less.proof().findings
            assert (finding.row, "missing" in finding.problem) == (f"{name} {row[key.name]}", True)
            more = copy.deepcopy(whole)
            more.rows[name].append({**row, key.name: other(row[key.name])})
            (finding,) = more.proof().findings
            assert "no audit entry" in finding.problem
    for index in range(len(whole.log) - 1):
        gone = Copy([*whole.log[:index], *whole.log[index + 1 :]], whole.rows).proof()
        assert f"audit {index + 1}" in {finding.row for finding in gone.findings}
        swapped = [*whole.log[:index], whole.log[index + 1], whole.log[index], *whole.log[index + 2 :]]
        assert not Copy(swapped, whole.rows).proof().ok


def test_a_log_that_was_cut_short_or_rewritten_is_found_by_its_head(
    store: Store, lived: DurableLedger
) -> None:
    whole = Copy.of(store.url)
    for length in range(len(whole.log)):
        proof = Copy(whole.log[:length], whole.rows).proof([whole.head])
        assert proof.entries == length
        (finding,) = [each for each in proof.findings if each.row == f"audit {whole.head.number}"]
        assert "cut short" in finding.problem
    log, previous = [], GENESIS
    for entry in whole.log:
        changed = dataclasses.replace(entry, who="nobody", previous=previous)
        log.append(dataclasses.replace(changed, digest=digest_of(changed)))
        previous = log[-1].digest
    rewritten = Copy(log, whole.rows)
    assert rewritten.proof().ok
    assert [finding.row for finding in rewritten.proof([whole.head]).findings] == [
        f"audit {whole.head.number}"
    ]
    assert parse_head(str(whole.head)) == whole.head
    with pytest.raises(InvalidInput, match="NUMBER:DIGEST"):
        parse_head("12")


def test_a_row_that_a_decision_removes_is_missed_by_nobody(store: Store, lived: DurableLedger) -> None:
    (block, *_) = Copy.of(store.url).rows["blocks"]
    with lived._database.write_transaction("test") as connection:
        connection.execute(blocks.delete().where(blocks.c.id == block["id"]))
        append(connection, NOW, "anna", "purge", block["id"], {}, {blocks: [block["id"]]})
    whole = Copy.of(store.url)
    assert whole.proof().ok
    whole.rows["blocks"].append(block)
    (finding,) = whole.proof().findings
    assert "is back" in finding.problem


def test_rows_from_before_digests_are_told_apart_from_rows_put_in_by_hand(
    store: Store, early: DurableLedger
) -> None:
    whole = Copy.of(store.url)
    old, previous = [], GENESIS
    for entry in whole.log:
        values = json.loads(entry.detail)
        del values["rows"]
        changed = dataclasses.replace(entry, detail=json.dumps(values), previous=previous)
        old.append(dataclasses.replace(changed, digest=digest_of(changed)))
        previous = old[-1].digest
    before = Copy(old, whole.rows)
    proof = before.proof()
    assert (proof.findings, proof.unproven) == ([], proof.rows)
    before.rows["blocks"].append({**before.rows["blocks"][0], "id": "bl_forged"})
    assert [finding.row for finding in before.proof().findings] == ["blocks bl_forged"]


def test_reading_beside_a_writer_sees_one_moment_and_writes_nothing(
    store: Store, lived: DurableLedger, make_incident: MakeIncident
) -> None:
    with snapshot(store.url) as connection:
        before = connection.execute(sa.select(sa.func.count()).select_from(audit)).scalar()
        lived.record_violation(make_incident("dora"), SANCTION, NOW + 20)
        assert connection.execute(sa.select(sa.func.count()).select_from(audit)).scalar() == before
        with pytest.raises(sa.exc.DBAPIError):
            connection.execute(blocks.delete())
    assert Copy.of(store.url).proof().ok


def test_what_is_no_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for url, named in (
        (f"sqlite:///{tmp_path}/none.db", "does not exist"),
        (f"sqlite:///{tmp_path}/empty.db", "no ledger"),
        ("mars://x", "ledger_url"),
    ):
        with pytest.raises(ConfigError, match=named), snapshot(url):
            pass


_texts = st.text(max_size=20)


@settings(max_examples=30)
@given(
    entries=st.lists(st.tuples(_texts, _texts, _texts), min_size=1, max_size=6),
    form=st.sampled_from(ExportFormat),
    start=st.integers(0, 5),
)
def test_an_export_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[str, str, str]],
    form: ExportFormat,
    start: int,
) -> None:
    log, previous = [], GENESIS
    for number, (who, what, detail) in enumerate(entries, start=1):
        row = AuditRow(number, NOW, who, what, "", detail, previous, "")
        log.append(dataclasses.replace(row, digest=digest_of(row)))
        previous = log[-1].digest
    part = log[min(start, len(log) - 1) :]
    path = tmp_path_factory.mktemp("export") / "audit"
    with path.open("w", encoding="utf-8", newline="") as file:
        assert write_rows(part, file, form) == len(part)
    assert list(read_rows(path)) == part
    prover = Prover([Head(part[-1].number, part[-1].digest)], part=True)
    assert list(prover.entries(read_rows(path))) == part
    proof = prover.finish(())
    assert (proof.ok, proof.first, proof.anchor) == (True, part[0].number, part[0].previous)
