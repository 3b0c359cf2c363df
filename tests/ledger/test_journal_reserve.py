"""The journal has room on a full disk, and what no file takes is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.domain import Action
from edge.errors import LedgerUnavailable, NotFound
from edge.ledger import DurableLedger
from edge.ledger.journal import Journal
from edge.ledger.journal_entries import Opened
from edge.ledger.unwritten import NOTE_BYTES, UnwrittenDecision, UnwrittenNote
from tests.ledger.test_journal import NOW, SANCTION, make
from tests.small_disk import fill, small_disk

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident

RESERVE = 1 << 20


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk_takes_entries_until_the_reserve_is_used_up(
    kind: str, tmp_path: Path, make_incident: MakeIncident
) -> None:
    with small_disk(tmp_path, kind, 8) as disk:
        journal = Journal(disk / "journal.jsonl", RESERVE)
        assert journal.keep_reserve(or_less=True).problem == ""
        assert journal.size() == 0
        ballast = fill(disk)
        assert journal.keep_reserve().left_bytes >= RESERVE
        written, refused = 0, ""
        while not refused:
            try:
                journal.append(make(make_incident))
                written += 1
            except LedgerUnavailable as error:
                refused = str(error)
            assert journal.keep_reserve().problem == "No space left on device"
        assert refused.endswith("No space left on device")
        assert written > 100
        assert len(list(journal.entries())) == written
        ballast.unlink()
        assert journal.keep_reserve().problem == ""
        assert journal.clear(journal.size())
        fill(disk)
        journal.append(make(make_incident))


@pytest.mark.parametrize("wanted", [8, 64])
def test_a_disk_with_little_room_gives_most_of_it_and_leaves_the_ledger_some(
    tmp_path: Path, wanted: int
) -> None:
    with small_disk(tmp_path, "tmpfs", 9) as disk:
        journal = Journal(disk / "journal.jsonl", wanted << 20)
        reserve = journal.keep_reserve(or_less=True)
        assert 6 << 20 < reserve.left_bytes <= 7 << 20
        assert reserve.problem == "No space left on device"
        # What is free later is left to others.
        assert journal.keep_reserve().left_bytes == reserve.left_bytes
        journal.release_reserve()
        assert journal.keep_reserve().left_bytes == 0


@contextmanager
def nothing_takes(ledger: DurableLedger, journal: Path) -> Iterator[None]:
    """As on a full disk: neither the database nor the journal takes a write."""
    kept = journal.with_suffix(".kept")
    journal.rename(kept)
    journal.mkdir()
    ledger._away, real = True, ledger._database
    ledger._database = real.patient(0)
    ledger._database.write_transaction = _refused  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        journal.rmdir()
        kept.rename(journal)
        ledger._database = real


def _refused(doing: str) -> None:
    raise LedgerUnavailable(f"ledger, {doing}: database or disk is full")


def opened(folder: Path) -> DurableLedger:
    return DurableLedger.open(folder / "edge.db", folder / "journal.jsonl", reserve_bytes=RESERVE)


def test_what_nothing_takes_is_named_on_disk_even_by_a_gate_that_is_killed(
    tmp_path: Path, make_incident: MakeIncident
) -> None:
    ledger = opened(tmp_path)
    cut, flag = make_incident("anna"), make_incident("berta", action=Action.FLAG)
    with nothing_takes(ledger, tmp_path / "journal.jsonl"):
        with pytest.raises(LedgerUnavailable):
            ledger.record_violation(cut, SANCTION, NOW)
        with pytest.raises(LedgerUnavailable):
            ledger.record_incident(flag, NOW)
        for _ in range(2):
            with pytest.raises((LedgerUnavailable, NotFound)):
                ledger.mark_cut_asked(cut.id, NOW)
    assert len(ledger.unwritten) == 3
    ledger.close()  # and nothing else: killed
    ledger = opened(tmp_path)
    assert [(each.what, each.subject, each.broadcaster) for each in ledger.unwritten.missing] == [
        ("violation", cut.id, "anna"),
        ("incident", flag.id, "berta"),
    ]
    assert ledger.unwritten.missing[0].blocked_until_ms > NOW
    assert len(ledger.unwritten) == 0
    # It is said again at each start, until a person has taken notice.
    ledger.close()
    ledger = opened(tmp_path)
    assert len(ledger.unwritten.missing) == 2
    (tmp_path / "journal.unwritten").unlink()
    ledger.keep_reserve()
    assert not ledger.unwritten.missing
    assert (tmp_path / "journal.unwritten").stat().st_size == NOTE_BYTES
    ledger.close()


def test_what_is_written_later_is_not_named(tmp_path: Path, make_incident: MakeIncident) -> None:
    ledger = opened(tmp_path)
    cut, flag, other = make_incident(), make_incident(action=Action.FLAG), make_incident("carla")
    with nothing_takes(ledger, tmp_path / "journal.jsonl"):
        for write in (
            lambda: ledger.record_violation(cut, SANCTION, NOW),
            lambda: ledger.record_incident(flag, NOW),
            lambda: ledger.record_violation(other, SANCTION, NOW),
            lambda: ledger.mark_cut_asked(other.id, NOW),
            lambda: ledger.record_stream_cut("st_1", cut.publish, "blind", None, NOW),
        ):
            with pytest.raises(LedgerUnavailable):
                write()
    assert len(ledger.unwritten) == 5
    ledger.probe()
    ledger.record_violation(cut, SANCTION, NOW)  # by the gate's own retry
    ledger.record_incident(flag, NOW)
    assert len(ledger.unwritten) == 3
    assert ledger.write_unwritten() == ()
    ledger.reconcile()
    ledger.close()
    ledger = opened(tmp_path)
    assert ledger.unwritten.missing == ()
    assert {row.what for row in ledger.audit_rows()} == {"violation", "incident", "cut_asked", "stream_cut"}
    assert ledger.incident(other.id).cut_asked_ms == NOW
    ledger.close()


def test_what_cannot_be_written_at_the_end_is_returned(tmp_path: Path, make_incident: MakeIncident) -> None:
    ledger = opened(tmp_path)
    cut = make_incident()
    with nothing_takes(ledger, tmp_path / "journal.jsonl"):
        for write in (
            lambda: ledger.record_violation(cut, SANCTION, NOW),
            lambda: ledger.mark_cut_asked(cut.id, NOW),
        ):
            with pytest.raises(LedgerUnavailable):
                write()
        lost = ledger.write_unwritten()
    assert [(each.what, each.subject) for each in lost] == [("violation", cut.id), ("mark", cut.id)]
    ledger.close()


def test_the_note_is_written_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path, "ext4", 2) as disk:
        note = UnwrittenNote(disk / "journal.unwritten")
        note.prepare()
        fill(disk)
        decisions = [
            UnwrittenDecision("violation", f"in_{n}", "ä" * 256, "live", "fight", 1, 2) for n in range(999)
        ]
        note.write(decisions)
        found = note.read()
        assert 50 < len(found) < 999
        assert list(found) == decisions[: len(found)]
        note.write(())
        assert note.read() == ()
        assert os.stat(note.path).st_size == NOTE_BYTES


def test_an_entry_of_an_incident_is_kept_once(tmp_path: Path, make_incident: MakeIncident) -> None:
    ledger = opened(tmp_path)
    flag = make_incident(action=Action.FLAG)
    for wall_ms in (NOW, NOW + 1):
        ledger.unwritten.hold(Opened(flag, wall_ms))
    assert len(ledger.unwritten) == 1
    ledger.close()
