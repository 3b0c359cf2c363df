"""The journal keeps every whole line, wherever the last write was torn."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.errors import LedgerUnavailable
from edge.ledger import DurableLedger
from edge.ledger.journal import Journal, encode
from edge.ledger.ledger import Violation, make_violation
from edge.policy import DAY_MS, LadderPolicy

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident

NOW = 1_700_000_000_000


def make(make_incident: MakeIncident, broadcaster: str = "anna") -> Violation:
    violation = make_violation(make_incident(broadcaster), LadderPolicy(), NOW + DAY_MS, NOW)
    return Violation(violation.incident, violation.strike, violation.blocks, NOW, "journal")


def test_a_torn_tail_at_every_byte_loses_only_the_torn_line(
    tmp_path: Path, make_incident: MakeIncident
) -> None:
    first, torn, later = (make(make_incident, name) for name in ("anna", "berta", "carla"))
    whole = encode(torn)
    for cut in range(0, len(whole), 7):
        path = tmp_path / f"journal{cut}"
        path.write_bytes(encode(first) + whole[:cut])
        journal = Journal(path)
        assert list(journal.violations()) == [first]
        journal.append(later)
        assert list(journal.violations()) == [first, later]
    path.write_bytes(encode(first) + whole)
    assert list(Journal(path).violations()) == [first, torn]


def test_a_damaged_line_is_kept_for_people(tmp_path: Path, make_incident: MakeIncident) -> None:
    path = tmp_path / "journal.jsonl"
    good, damaged = encode(make(make_incident)), bytearray(encode(make(make_incident)))
    damaged[40] ^= 1
    path.write_bytes(good + bytes(damaged))
    journal = Journal(path)
    assert len(list(journal.violations())) == 1
    journal.clear()
    assert journal.empty()
    assert path.with_suffix(".damaged").read_bytes() == bytes(damaged)


def test_the_journal_counts_its_own_strikes(
    tmp_path: Path, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    locker = sqlite3.connect(tmp_path / "edge.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    ladder = LadderPolicy()
    first = ledger.record_violation(make_incident(), ladder, NOW)
    assert ledger.record_violation(first.incident, ladder, NOW) == first
    second = ledger.record_violation(make_incident(), ladder, NOW)
    assert [v.blocks[0].until_ms - NOW for v in (first, second)] == [30 * DAY_MS, 180 * DAY_MS]
    locker.execute("ROLLBACK")
    locker.close()
    ledger.close()
    reopened = DurableLedger.open(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    assert len(reopened.strikes_of("anna")) == 2
    assert reopened.reconcile() == ()
    assert reopened.audit_verify() == 2
    reopened.close()


def test_a_disk_that_takes_nothing_is_unavailable(tmp_path: Path, make_incident: MakeIncident) -> None:
    folder = tmp_path / "journal.jsonl"
    folder.mkdir()
    with pytest.raises(LedgerUnavailable, match="journal"):
        Journal(folder).append(make(make_incident))
