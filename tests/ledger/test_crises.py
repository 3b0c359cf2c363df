"""Crises on record, and how the gates of a fleet hear of them. Over SQLite and PostgreSQL."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import TYPE_CHECKING

import pytest

from edge.crisis import Crisis, CrisisState
from edge.errors import AlreadyExists, Conflict, LimitExceeded, NotFound
from edge.ladder import Sanction
from edge.ledger import DurableLedger, FleetFeed, Ledger
from edge.ledger.crises import MOST_AT_ONCE
from edge.policy import Patch
from tests.crisis.crises import NOW, crisis

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Store

PATCH: Patch = {"looks": {"crisis": True}}


def test_a_crisis_and_its_log(ledger: DurableLedger) -> None:
    made = ledger.declare_crisis(crisis(patch=PATCH, apps=("live*",), state=CrisisState.PROPOSED))
    assert ledger.crisis("attack") == made
    begun = ledger.change_crisis(
        "attack", lambda one: one.confirmed("omar", NOW + 1), "crisis_confirmed", "omar", "seen", NOW + 1
    )
    ledger.note_crisis("attack", "crisis_added", "rita", NOW + 2, {"entry": "e1"})
    ledger.declare_crisis(crisis("attack-2"))
    assert begun.revision > made.revision
    assert [row.what for row in ledger.crisis_log("attack")] == [
        "crisis_declared",
        "crisis_confirmed",
        "crisis_added",
    ]
    detail = json.loads(ledger.crisis_log("attack")[0].detail)
    assert (detail["patch"], detail["apps"]) == (PATCH, ["live*"])
    with pytest.raises(NotFound, match="other"):
        ledger.crisis_log("other")


def test_a_name_counts_once_and_few_crises_are_open(ledger: DurableLedger) -> None:
    for number in range(MOST_AT_ONCE):
        ledger.declare_crisis(crisis(f"c{number}"))
    with pytest.raises(AlreadyExists, match="c0"):
        ledger.declare_crisis(crisis("c0"))
    with pytest.raises(LimitExceeded, match="crises"):
        ledger.declare_crisis(crisis("one-more"))
    ledger.change_crisis("c0", lambda one: one.ended("rita", "", NOW), "crisis_ended", "rita", "over", NOW)
    ledger.declare_crisis(crisis("one-more"))
    assert {one.name for one in ledger.crises(ended=False)} == {
        "c1",
        "c2",
        "c3",
        "c4",
        "c5",
        "c6",
        "c7",
        "one-more",
    }
    assert len(ledger.crises()) == MOST_AT_ONCE + 1


def test_a_change_that_is_refused_changes_nothing(ledger: DurableLedger) -> None:
    made = ledger.declare_crisis(crisis())
    with pytest.raises(Conflict):
        ledger.change_crisis("attack", lambda one: one.confirmed("omar", NOW), "confirmed", "omar", "", NOW)
    assert ledger.crisis("attack") == made


def test_every_row_is_proven(ledger: DurableLedger) -> None:
    ledger.declare_crisis(crisis(patch=PATCH))
    ledger.change_crisis(
        "attack", lambda one: one.ended("rita", "", NOW), "crisis_ended", "rita", "over", NOW
    )
    assert ledger.audit_verify() == 2


def test_a_row_of_a_newer_gate_is_skipped(ledger: DurableLedger, store: Store) -> None:
    ledger.declare_crisis(crisis())
    ledger.declare_crisis(crisis("known"))
    store.execute(
        'UPDATE crises SET crisis = \'{"name": "attack", "state": "paused"}\' WHERE name = \'attack\''
    )
    assert [one.name for one in ledger.crises()] == ["known"]
    assert ledger.unknown_rows.counts() == {"crises": 1}


def test_another_gate_hears_of_it(ledger: DurableLedger, store: Store) -> None:
    ledger.declare_crisis(crisis("before"))
    heard: list[tuple[str, ...]] = []
    changed = threading.Condition()

    def take(crises: tuple[Crisis, ...]) -> None:
        with changed:
            heard.append(tuple(sorted(one.name for one in crises)))
            changed.notify_all()

    other = Ledger.open(store.url, gate="other")
    feed = FleetFeed(
        other,
        lambda blocks: None,
        since=other.revision(),
        on_policy=lambda policy: None,
        policy_version=0,
        on_failure=lambda error: None,
        on_crises=take,
        poll_ms=20,
    )
    feed.start()
    try:
        with changed:
            assert changed.wait_for(lambda: heard[-1:] == [("before",)], 90)
        ledger.declare_crisis(crisis())
        with changed:
            assert changed.wait_for(lambda: heard[-1:] == [("attack", "before")], 90)
        ledger.change_crisis("before", lambda one: one.ended("r", "", NOW), "crisis_ended", "r", "over", NOW)
        with changed:
            assert changed.wait_for(lambda: heard[-1:] == [("attack",)], 90)
    finally:
        feed.stop()
        other.close()


def test_the_incidents_of_its_bank_alone(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    made = ledger.declare_crisis(crisis(declared_ms=NOW - 1000))
    for bank, variant in (("crisis-attack", "crop_10+mirror"), ("crisis-attack-2", "original")):
        incident = make_incident(created_ms=NOW)
        (signal,) = incident.verdict.signals
        found = dataclasses.replace(signal, bank=bank, variant=variant)
        verdict = dataclasses.replace(incident.verdict, signals=(found,))
        ledger.record_violation(dataclasses.replace(incident, verdict=verdict), Sanction(), NOW)
    (match,) = ledger.crisis_matches(made)
    assert (match.app, match.cut, match.variant, match.overturned) == ("live", True, "crop_10+mirror", False)
    over = dataclasses.replace(made, ended_ms=NOW - 500)
    assert ledger.crisis_matches(over) == ()
