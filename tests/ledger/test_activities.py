"""How an incident goes on is on record, also by way of the journal, and read again after a restart."""

from __future__ import annotations

import dataclasses

from edge.domain import Action, Activity, IncidentState
from edge.ledger import Decisions, DurableLedger
from edge.policy import Policy
from edge.webhook.events import events_of
from tests.ledger.conftest import NOW, MakeIncident
from tests.postgresql import Store

LATER = Activity(verdicts=16, peak_score=0.99, start_pts_ms=0, end_pts_ms=90_000, seen_ms=NOW + 90_000)


def test_an_incident_keeps_count_peak_and_span(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    flag = dataclasses.replace(make_incident(action=Action.FLAG), activity=Activity(1, 0.6, 0, 200, NOW))
    ledger.record_incident(flag, NOW)
    assert ledger.incident(flag.id) == flag
    ledger.note_activity(flag.id, LATER, None, NOW + 90_000)
    assert ledger.incident(flag.id) == dataclasses.replace(flag, activity=LATER)
    [*_, entry] = Decisions(ledger).after(0)
    assert [event.type for event in events_of(entry)] == ["incident.continued"]
    assert ledger.audit_verify()


def test_a_withheld_cut_replaces_the_verdict_and_all_that_follows_from_it(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    flag = make_incident(action=Action.FLAG, shadow=True)
    ledger.record_incident(flag, NOW)
    cut = dataclasses.replace(flag.verdict, action=Action.CUT, score=0.99)
    ledger.note_activity(flag.id, LATER, cut, NOW + 1)
    found = ledger.incident(flag.id)
    assert (found.verdict, found.activity) == (cut, LATER)


def test_what_goes_on_is_flagged_undecided_and_recent(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    made = {
        name: dataclasses.replace(
            make_incident(name, action=action, shadow=shadow),
            activity=dataclasses.replace(LATER, seen_ms=seen),
        )
        for name, action, shadow, seen in (
            ("anna", Action.FLAG, False, NOW),
            ("berta", Action.CUT, True, NOW),
            ("carla", Action.FLAG, False, NOW - 1),
            ("dora", Action.FLAG, False, NOW),
            ("emma", Action.CUT, False, NOW),
        )
    }
    for incident in made.values():
        ledger.record_incident(incident, NOW)
    ledger.record_incident(make_incident("of-an-earlier-version", action=Action.FLAG), NOW)
    ledger.review(made["dora"].id, IncidentState.CONFIRMED, "seen", "rita", NOW + 1, Policy())
    assert {incident.publish.broadcaster for incident in ledger.going_on(NOW)} == {"anna", "berta"}


def test_what_went_on_while_the_ledger_was_away_comes_home(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    flag = make_incident(action=Action.FLAG, shadow=True)
    cut = dataclasses.replace(flag.verdict, action=Action.CUT)
    with store.locked():
        ledger.record_incident(flag, NOW)
        ledger.note_activity(flag.id, LATER, cut, NOW + 1)
        assert ledger.away
    ledger.probe()
    found = ledger.incident(flag.id)
    assert (found.verdict, found.activity) == (cut, LATER)
