"""The content of the event for each decision."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Action, Incident, Publish, Verdict
from edge.ledger import DurableLedger
from edge.ledger.audit import AuditRow
from edge.ledger.decisions import AuditedDecision, Decisions
from edge.webhook.events import TYPES, events_of
from edge.webhook.retry import is_refusal, parse_retry_after, retry_after_ms


def test_every_event_of_a_life_and_the_same_ids_when_read_again(lived: DurableLedger) -> None:
    decisions = Decisions(lived)
    events = [event for decision in decisions.after(0) for event in events_of(decision)]
    told: dict[str, list[Any]] = {}
    for event in events:
        document = json.loads(event.body)
        assert document["type"] == event.type
        assert document["data"]["sequence"] == event.number
        told.setdefault(event.type, []).append(document["data"])
    assert told.keys() <= set(TYPES)
    assert {
        "verdict.flag",
        "stream.cut",
        "cut.confirmed",
        "block.made",
        "block.lifted",
        "strike.made",
        "strike.pardoned",
        "incident.reviewed",
        "notice",
        "block.changed",
        "appeal.filed",
        "appeal.decided",
    } <= told.keys()
    assert {"confirmed", "overturned"} <= {data["decision"] for data in told["incident.reviewed"]}
    assert {"anna", "berta"} <= {data["incident"]["broadcaster"] for data in told["stream.cut"]}
    # Events tell the present state of what they are about.
    made, pardoned = (
        {data["strike"]["id"] for data in told[f"strike.{word}"]} for word in ("made", "pardoned")
    )
    assert pardoned <= made
    for data in (*told["strike.made"], *told["strike.pardoned"]):
        assert data["strike"]["pardoned"] is (data["strike"]["id"] in pardoned)
        assert not (data["strike"]["pardoned"] and data["strike"]["provisional"])
    assert all(data["block"]["lifted_by"] for data in told["block.lifted"])
    assert any("provisional" in data["en"] for data in told["notice"] if data["provisional"])
    assert any("stopped" in data["en"] for data in told["notice"] if data["incident_id"])
    assert len({event.id for event in events}) == len(events)
    numbers = sorted({event.number for event in events})
    again = [event for decision in decisions.of(numbers) for event in events_of(decision)]
    assert [event.id for event in again] == [event.id for event in events]


def test_cuts_that_no_verdict_led_to_are_told(ledger: DurableLedger) -> None:
    publish = Publish("nginx-rtmp", "7", "live", "show", "anna")
    ledger.record_stream_cut("st_1", publish, "blocked", "bl_1", 1_700_000_000_000)
    ledger.record_stream_cut("st_2", publish, "blind", None, 1_700_000_000_000)
    blocked, blind = (
        {event.type: json.loads(event.body)["data"] for event in events_of(decision)}
        for decision in Decisions(ledger).after(0)
    )
    assert blocked.keys() == {"stream.cut"}
    assert (blocked["stream.cut"]["block_id"], blocked["stream.cut"]["reason"]) == ("bl_1", "blocked")
    assert blocked["stream.cut"]["stream"]["broadcaster"] == "anna"
    assert blind.keys() == {"stream.cut", "notice"}
    assert "stopped" in blind["notice"]["en"]


def test_a_flag_says_how_urgent_it_is_and_which_rule_decided(ledger: DurableLedger) -> None:
    publish = Publish("nginx-rtmp", "7", "live", "show", "anna")
    for number, (urgent, rule) in enumerate(((True, "shots"), (False, ""))):
        verdict = Verdict(Action.FLAG, 0, 0, category="gunfire", urgent=urgent, rule=rule)
        ledger.record_incident(Incident(f"in_{number}", "st_1", publish, verdict, 0), 0)
    told = [
        json.loads(event.body)["data"]["incident"]
        for decision in Decisions(ledger).after(0)
        for event in events_of(decision)
    ]
    assert [(one["urgent"], one["rule"]) for one in told] == [(True, "shots"), (False, None)]


def test_an_entry_that_is_not_as_expected_is_told_to_nobody() -> None:
    for detail in ("", "[]", '{"rows": 1}', '{"lifted": []}'):
        entry = AuditRow(1, 0, "x", "violation", "y", detail, "", "")
        assert events_of(AuditedDecision(entry, {}, {})) == ()


@given(
    attempts=st.integers(1, 1000),
    first=st.integers(1, 10_000),
    most=st.integers(1, 86_400_000),
    spread=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.integers(0, 10**12),
)
def test_pauses_grow_to_a_bound_and_keep_what_the_receiver_asks(
    attempts: int, first: int, most: int, spread: float, asked: int | None
) -> None:
    pause = retry_after_ms(attempts, first, most, spread, asked)
    assert 0 <= pause <= most
    assert pause >= min(asked or 0, most)
    assert retry_after_ms(attempts + 1, first, most, spread, asked) >= pause
    assert pause >= min(first, most) // 2


def test_retry_after() -> None:
    given = ["7", " 7 ", "-1", "soon", "", None, "9" * 400, "٣"]
    assert [parse_retry_after(value) for value in given] == [7000, 7000, None, None, None, None, 10**11, None]


@given(st.integers(0, 599))
def test_what_may_be_taken_later_is_no_refusal(status: int) -> None:
    assert is_refusal(status) == (status // 100 == 4 and status not in (408, 425, 429))
