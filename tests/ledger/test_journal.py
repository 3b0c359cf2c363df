"""The journal keeps every complete line, wherever the last write was torn."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from edge.domain import PERMANENT_MS, Action, Incident, Review
from edge.errors import LedgerUnavailable
from edge.ladder import Sanction
from edge.ledger import DurableLedger, records
from edge.ledger.double import FailingLedger
from edge.ledger.journal import Journal
from edge.ledger.journal_entries import Violated, encode
from edge.ledger.violations import make_violation
from edge.policy import DAY_MS, ReviewPolicy, UnreviewedOutcome
from edge.reasons import UnconfirmedReason

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Store

NOW = 1_700_000_000_000


SANCTION = Sanction(review=ReviewPolicy(detector=UnreviewedOutcome.STAND))


def make(make_incident: MakeIncident, broadcaster: str = "anna") -> Violated:
    violation = make_violation(make_incident(broadcaster), SANCTION, (), NOW)
    return Violated(dataclasses.replace(violation, durable_in="journal"), SANCTION)


def test_a_torn_tail_at_every_byte_loses_only_the_torn_line(
    tmp_path: Path, make_incident: MakeIncident
) -> None:
    first, torn, later = (make(make_incident, name) for name in ("anna", "berta", "carla"))
    head, whole = encode(first), encode(torn)
    path = tmp_path / "journal"
    journal = Journal(path)
    for cut in range(len(whole)):
        path.write_bytes(head + whole[:cut])
        assert list(journal.entries()) == [first]
        if cut % 331 == 0:
            journal.append(later)
            assert list(journal.entries()) == [first, later]
    path.write_bytes(head + whole)
    assert list(journal.entries()) == [first, torn]


def test_a_line_of_an_earlier_version_is_a_full_block_by_its_ladder(
    tmp_path: Path, make_incident: MakeIncident
) -> None:
    violation = make_violation(make_incident(), SANCTION, (), NOW)
    incident = records.incident_to_json(violation.incident)
    strike, blocks = dataclasses.asdict(violation.strike), map(records.block_to_row, violation.blocks)
    later = {"provisional", "full_until_ms", "review_by_ms", "strike_id", "severity", "reason", "created_by"}
    later |= {"pardoned_by", "pardon_reason", *(f.name for f in dataclasses.fields(Review))}
    later |= {"cut_unconfirmed_ms", "cut_unconfirmed_reason"}
    body = json.dumps(
        {
            "incident": {name: value for name, value in incident.items() if name not in later - {"reason"}},
            "strike": {name: value for name, value in strike.items() if name not in later},
            "blocks": [
                {name: value for name, value in row.items() if name not in later - {"reason", "created_by"}}
                for row in blocks
            ],
            "durable_ms": NOW,
            "ladder": {"steps_ms": [DAY_MS], "lapse_ms": DAY_MS, "block_address": True},
        }
    ).encode()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(body), body))
    (entry,) = Journal(path).entries()
    assert isinstance(entry, Violated)
    assert entry.violation.incident == violation.incident
    assert entry.violation.strike == dataclasses.replace(violation.strike, reason="")
    assert not any(block.provisional for block in entry.violation.blocks)
    assert entry.sanction.ladder.link == ("stream_key", "address")


def test_a_damaged_line_is_kept_for_people(tmp_path: Path, make_incident: MakeIncident) -> None:
    path = tmp_path / "journal.jsonl"
    good, damaged = encode(make(make_incident)), bytearray(encode(make(make_incident)))
    damaged[40] ^= 1
    path.write_bytes(good + bytes(damaged))
    journal = Journal(path)
    assert len(list(journal.entries())) == 1
    assert journal.clear(journal.size())
    assert journal.size() == 0
    assert path.with_suffix(".damaged").read_bytes() == bytes(damaged)


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"of tomorrow","x":1}',
        b'{"kind":"marked","incident_id":"in_1","wall_ms":1,"what":"x","values":{},"more":1}',
        b'{"kind":"opened"}',
        b"[]",
    ],
)
def test_a_line_that_only_a_later_version_knows_is_kept_for_people(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    line = b"%08x %s\n" % (zlib.crc32(body), body)
    path.write_bytes(line)
    journal = Journal(path)
    assert list(journal.entries()) == []
    assert journal.clear(journal.size())
    assert path.with_suffix(".damaged").read_bytes() == line


def test_what_is_appended_while_the_journal_is_read_is_not_cleared(
    tmp_path: Path, make_incident: MakeIncident
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    early, late = make(make_incident), make(make_incident)
    journal.append(early)
    size = journal.size()
    journal.append(late)
    assert not journal.clear(size)
    assert list(journal.entries()) == [early, late]
    assert journal.clear(journal.size())


def test_the_journal_counts_its_own_strikes_and_the_ladder_counts_all(
    store: Store, make_incident: MakeIncident
) -> None:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    ledger.record_violation(make_incident(), SANCTION, NOW)
    with store.locked():
        second = ledger.record_violation(make_incident(), SANCTION, NOW)
        assert ledger.record_violation(second.incident, SANCTION, NOW) == second
        third = ledger.record_violation(make_incident(), SANCTION, NOW)
        assert {second.durable_in, third.durable_in} == {"journal"}
        assert [v.blocks[0].until_ms - NOW for v in (second, third)] == [30 * DAY_MS, 180 * DAY_MS]
        ledger.close()
    reopened = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    assert len(reopened.strikes_of("anna")) == 3
    ends = {block.id: block.until_ms for block in reopened.active_blocks(NOW)}
    assert [ends[v.blocks[0].id] for v in (second, third)] == [NOW + 180 * DAY_MS, PERMANENT_MS]
    assert reopened.reconcile() == ()
    assert reopened.audit_verify() == 3
    reopened.close()


def test_a_commit_that_went_through_unheard_is_the_same_violation(
    store: Store, make_incident: MakeIncident
) -> None:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    incident = make_incident()
    committed = ledger.record_violation(incident, SANCTION, NOW)
    unheard = make_violation(incident, SANCTION, (), NOW)
    Journal(store.journal).append(Violated(unheard, SANCTION))
    assert ledger.reconcile() == committed.blocks
    assert ledger.strikes_of("anna") == (committed.strike,)
    assert list(ledger.active_blocks(NOW)) == list(committed.blocks)
    ledger.close()


def test_violations_arrive_while_the_journal_goes_home(store: Store, make_incident: MakeIncident) -> None:
    """Two threads of a gate do these, so nothing may be lost between reading and clearing."""
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    incidents = [make_incident(f"b{number}") for number in range(60)]
    for incident in incidents[:10]:
        Journal(store.journal).append(Violated(make_violation(incident, SANCTION, (), NOW), SANCTION))
    arriving = threading.Thread(
        target=lambda: [ledger._record_in_journal(incident, SANCTION, NOW) for incident in incidents[10:]]
    )
    arriving.start()
    while arriving.is_alive():
        ledger.reconcile()
    arriving.join()
    ledger.reconcile()
    assert {block.subject for block in ledger.active_blocks(NOW)} >= {
        i.publish.broadcaster for i in incidents
    }
    assert ledger.audit_verify() == 60
    ledger.close()


def everything_of_a_night(ledger: DurableLedger, make_incident: MakeIncident) -> tuple[Incident, Incident]:
    """A cut with its marks, a flag, and a cut that rests on a block."""
    cut = ledger.record_violation(make_incident(), SANCTION, NOW).incident
    ledger.mark_cut_asked(cut.id, NOW + 1, NOW)
    ledger.mark_cut_confirmed(cut.id, NOW + 2, "hook")
    ledger.set_evidence(cut.id, "/evidence/clip.mp4", NOW + 3)
    flag = make_incident("berta", action=Action.FLAG)
    ledger.record_incident(flag, NOW + 4)
    ledger.mark_cut_unconfirmed(flag.id, NOW + 5, UnconfirmedReason.LIMIT)
    ledger.record_stream_cut("st_1", cut.publish, "blind", None, NOW + 6)
    return cut, flag


def test_all_that_the_gate_decides_while_the_ledger_is_away_is_there_once_afterwards(
    store: Store, make_incident: MakeIncident
) -> None:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    with store.locked():
        cut, flag = everything_of_a_night(ledger, make_incident)
        assert ledger.away
    before = store.journal.read_bytes()
    ledger.close()
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    stored = ledger.incident(cut.id)
    assert (stored.cut_asked_ms, stored.cut_confirmed_ms, stored.confirmed_by) == (NOW + 1, NOW + 2, "hook")
    assert stored.evidence_path == "/evidence/clip.mp4"
    assert ledger.incident(flag.id).cut_unconfirmed_reason == "limit"
    written = [row.what for row in ledger.audit_rows()]
    assert written == [
        "violation",
        "cut_asked",
        "cut_confirmed",
        "evidence",
        "incident",
        "cut_unconfirmed",
        "stream_cut",
    ]
    # The process was killed between the last commit and the emptying of the journal.
    ledger.close()
    store.journal.write_bytes(before)
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    assert ledger.audit_verify() == len(written)
    assert store.journal.stat().st_size == 0
    assert not store.journal.with_suffix(".damaged").exists()
    ledger.close()


@contextmanager
def failing(ledger: DurableLedger) -> Iterator[None]:
    """Our database code raises an error that no database raises."""

    def begin(connection: sa.Connection) -> None:
        raise RuntimeError("not foreseen")

    engine = ledger._database.engine
    sa.event.listen(engine, "begin", begin)
    try:
        yield
    finally:
        sa.event.remove(engine, "begin", begin)


def test_whatever_the_database_raises_the_journal_takes_what_is_decided(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    known, cut, flag = make_incident(), make_incident("berta"), make_incident(action=Action.FLAG)
    ledger.record_violation(known, SANCTION, NOW)
    with failing(ledger):
        violation = ledger.record_violation(cut, SANCTION, NOW)
        assert violation.durable_in == "journal"
        with pytest.raises(LedgerUnavailable, match="RuntimeError: not foreseen"):
            ledger.reconcile()
    assert ledger.away
    assert ledger.probe() == violation.blocks
    with failing(ledger):
        ledger.record_incident(flag, NOW)
    ledger.probe()
    with failing(ledger):
        ledger.mark_cut_confirmed(known.id, NOW + 1, "hook")
    ledger.probe()
    with failing(ledger):
        ledger.record_stream_cut("st_1", cut.publish, "blind", None, NOW)
    assert not any(row.what == "stream_cut" for row in ledger.audit_rows())
    ledger.probe()
    assert not ledger.away
    written = [row.what for row in ledger.audit_rows()]
    assert written == ["violation", "violation", "incident", "cut_confirmed", "stream_cut"]


def test_a_journal_that_was_half_brought_home_goes_on_behind_it(
    store: Store, make_incident: MakeIncident
) -> None:
    ledger = FailingLedger.open(store.url, store.journal)
    with store.locked():
        made = [
            ledger.record_violation(make_incident(f"b{number}"), SANCTION, NOW).blocks for number in range(4)
        ]
    calls = ledger.fail("adopt_violation", None, None, LedgerUnavailable("away again"))
    with pytest.raises(LedgerUnavailable):
        ledger.reconcile()
    assert ledger.away
    assert ledger.reconcile() == tuple(block for blocks in made for block in blocks)
    assert len(calls) == 5
    assert not ledger.away
    assert ledger.audit_verify() == 4
    ledger.close()


def test_a_mark_of_an_incident_that_never_reached_the_ledger_is_kept_for_people(
    store: Store, make_incident: MakeIncident
) -> None:
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    with store.locked():
        ledger.record_incident(make_incident(action=Action.FLAG), NOW)
        ledger.mark_cut_asked("in_none", NOW)
    ledger.reconcile()
    assert ledger.audit_verify() == 1
    assert b"in_none" in store.journal.with_suffix(".damaged").read_bytes()
    ledger.close()


def test_a_pipe_in_the_place_of_the_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(LedgerUnavailable, match="not a regular file"):
        list(Journal(tmp_path / "journal.jsonl").entries())


def test_a_disk_that_takes_nothing_is_unavailable(
    tmp_path: Path, store: Store, make_incident: MakeIncident
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(LedgerUnavailable, match="journal"):
        Journal(folder).append(make(make_incident))
    ledger = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    store.journal.mkdir()
    with store.locked(), pytest.raises(LedgerUnavailable):
        ledger.record_violation(make_incident(), SANCTION, NOW)
    assert ledger.record_violation(make_incident(), SANCTION, NOW).durable_in == "ledger"
    ledger.close()
