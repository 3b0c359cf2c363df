"""Evidence on record, and what changes of incidents, on both databases."""

from __future__ import annotations

from edge.domain import Action, Incident, IncidentState, Publish, Verdict, new_id
from edge.ladder import Sanction
from edge.ledger import ErasedFile, EvidenceRead, Ledger
from edge.ledger.incidents import UNDECIDED
from edge.ledger.waiting import WaitingOfState
from edge.policy import Policy
from edge.retention import ErasedWhy, EvidenceAge

NOW = 1_700_000_000_000


def opened(ledger: Ledger, action: Action = Action.FLAG) -> str:
    publish = Publish("test", "7", "live", "show", "anna")
    incident = Incident(new_id("in"), new_id("st"), publish, Verdict(action, 1, 0, "fight"), NOW)
    if action is Action.CUT:
        ledger.record_violation(incident, Sanction(), NOW)
    else:
        ledger.record_incident(incident, NOW)
    ledger.set_evidence(incident.id, "/clip.mp4", NOW, (0, 1), "ab" * 32, 7)
    return incident.id


def test_evidence_from_its_clip_to_its_erasure(ledger: Ledger) -> None:
    ident, other = opened(ledger), opened(ledger, Action.CUT)
    ledger.review(other, IncidentState.CONFIRMED, "a fight", "rita", NOW + 5, Policy())
    ledger.file_appeal("It was sport.", "shop", NOW + 6, Policy(), incident_id=other, block_id=None)
    held = {each.incident_id: each for each in ledger.held_evidence(of_all_gates=False)}
    assert (held[ident].age, held[ident].bytes, held[ident].sha256) == (EvidenceAge.OPEN, 7, "ab" * 32)
    assert held[other].appeal_open
    ledger.hold_evidence(ident, "case 7", "rita", NOW, release=False)
    assert ledger.incident(ident).custody.hold_by == "rita"
    ledger.hold_evidence(ident, "closed", "rita", NOW, release=True)
    assert ledger.ask_erasure("anna", "she asked", "rita", NOW) == tuple(sorted((ident, other)))
    assert all(each.erase_asked for each in ledger.held_evidence(of_all_gates=True))
    files = [ErasedFile("clip.mp4", 7, "ab" * 32)]
    for _ in range(2):
        ledger.record_evidence_erased(ident, ErasedWhy.REQUEST, files, "rita", NOW + 9)
    [erasure] = ledger.evidence_erasures([ident, other])
    assert (erasure.incident_id, erasure.why, erasure.wall_ms) == (ident, "request", NOW + 9)
    assert erasure.files == tuple(files)
    assert ledger.erased_evidence([ident, other]) == {ident}
    assert [each.incident_id for each in ledger.held_evidence(of_all_gates=False)] == [other]
    assert ledger.audit_verify()


def test_changes_come_in_order_and_each_incident_once(ledger: Ledger) -> None:
    first, second = opened(ledger), opened(ledger, Action.CUT)
    ledger.note_evidence_reads([EvidenceRead(first, "clip", "rita")], NOW)
    page = ledger.incident_changes(0)
    assert [change.incident.id for change in page.changes] == [first, second]
    assert {change.what for change in page.changes} == {"evidence"}
    assert page.upto == page.newest == ledger.head().number
    strike = ledger.case(second).strike
    assert strike is not None
    ledger.pardon_strike(Policy(), strike.id, "a mistake", "rolf", NOW)
    [change] = ledger.incident_changes(page.upto).changes
    assert (change.incident.id, change.what, change.by) == (second, "pardon", "rolf")
    assert ledger.incident_changes(change.number).changes == ()


def test_how_many_wait_and_since_when(ledger: Ledger) -> None:
    nothing = WaitingOfState(0, None)
    assert ledger.waiting_by_state() == dict.fromkeys(UNDECIDED, nothing)
    ident = opened(ledger)
    opened(ledger)
    assert ledger.waiting_by_state()[IncidentState.OPEN] == WaitingOfState(2, NOW)
    ledger.review(ident, IncidentState.OVERTURNED, "sport", "rita", NOW, Policy())
    assert ledger.waiting_by_state()[IncidentState.OPEN] == WaitingOfState(1, NOW)
