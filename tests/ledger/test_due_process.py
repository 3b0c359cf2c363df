"""Provisional blocks hold at once, end by their own times, and are confirmed or undone by reviewers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from edge.domain import (
    PERMANENT_MS,
    Action,
    AppealState,
    Block,
    Incident,
    IncidentState,
    Severity,
    SubjectKind,
)
from edge.errors import Conflict, InvalidInput, LimitExceeded, NotFound, PermissionRefused
from edge.ladder import Sanction
from edge.ledger import AdmissionView, DurableLedger, Violation, make_violation
from edge.ledger.appeals import MAX_TEXT_BYTES
from edge.ledger.journal import Journal
from edge.ledger.journal_entries import Violated
from edge.ledger.unreviewed import NOBODY
from edge.policy import DAY_MS, LadderPolicy, Policy, ReviewPolicy, StrikeScope, UnreviewedOutcome
from edge.reasons import UnconfirmedReason

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Store

NOW = 1_700_000_000_000
LATE_MS = 600_000
"""Delay after which an unreviewed block is put on record as lapsed."""
HOUR_MS = 3_600_000
POLICY = Policy()
TWO = Policy(review=ReviewPolicy(two_person_permanent=True, interim_ms=90 * DAY_MS))

Violate = Callable[..., Violation]


@pytest.fixture
def ledger(store: Store) -> Iterator[DurableLedger]:
    """A patient ledger, because a busy machine must not send the writes under test to the journal."""
    opened = DurableLedger.open(store.url, store.journal, busy_timeout_ms=20_000)
    yield opened
    opened.close()


def sanction(policy: Policy = POLICY, severity: Severity = Severity.NORMAL) -> Sanction:
    return Sanction(ladder=policy.ladder, review=policy.review, severity=severity)


@pytest.fixture
def violate(ledger: DurableLedger, make_incident: MakeIncident) -> Violate:
    def record(
        at_ms: int = NOW, policy: Policy = POLICY, severity: Severity = Severity.NORMAL, who: str = "anna"
    ) -> Violation:
        return ledger.record_violation(
            make_incident(who, created_ms=at_ms), sanction(policy, severity), at_ms
        )

    return record


def ends(ledger: DurableLedger, incident: Incident | str) -> set[int]:
    ident = incident if isinstance(incident, str) else incident.id
    return {block.until_ms for block in ledger.case(ident).blocks}


def confirm(
    ledger: DurableLedger, violation: Violation, by: str, at_ms: int, policy: Policy = POLICY
) -> Incident:
    incident, _ = ledger.review(violation.incident.id, IncidentState.CONFIRMED, "seen", by, at_ms, policy)
    return incident


def test_what_nobody_reviews_lapses_by_its_own_times_in_memory_and_on_disk(
    ledger: DurableLedger, violate: Violate
) -> None:
    violation = violate()
    view = AdmissionView()
    view.load(ledger.active_blocks(NOW))
    due_ms = NOW + DAY_MS
    for source in (view, None):
        for at_ms, refused in ((NOW, True), (due_ms - 1, True), (due_ms, False)):
            if source is not None:
                assert (source.check(violation.incident.publish, at_ms) is not None) == refused
            else:
                assert bool(list(ledger.active_blocks(at_ms))) == refused
    # Nobody has settled anything, and the strike has lapsed as well.
    assert violate(due_ms).blocks[0].full_until_ms == due_ms + 30 * DAY_MS
    late_ms = due_ms + LATE_MS
    assert ledger.settle_unreviewed(POLICY, late_ms - 1) == ()
    settled = ledger.settle_unreviewed(POLICY, late_ms)
    assert {block.id for block in settled} == {block.id for block in violation.blocks}
    assert {(block.lifted_by, block.lift_reason) for block in settled} == {("gate", NOBODY)}
    strike = ledger.case(violation.incident.id).strike
    assert strike is not None
    assert (strike.pardoned_ms, strike.pardoned_by) == (late_ms, "gate")
    assert ledger.settle_unreviewed(POLICY, late_ms + 1) == ()
    # Late settling changes the record, but keeps nobody out again.
    assert confirm(ledger, violation, "rita", late_ms + 2).state is IncidentState.CONFIRMED
    assert list(ledger.active_blocks(due_ms + DAY_MS)) == []


def test_a_gate_whose_clock_is_ahead_takes_nothing_back_from_the_others(
    store: Store, ledger: DurableLedger, violate: Violate
) -> None:
    now = time.time_ns() // 1_000_000
    violation = violate(now)
    settled = ledger.settle_unreviewed(POLICY, now + 2 * DAY_MS)
    if store.kind == "sqlite":
        assert settled, "its only clock is the gate's"
    else:
        assert settled == ()
        overdue = violate(now - DAY_MS - LATE_MS, who="berta")
        settled = ledger.settle_unreviewed(POLICY, now + 2 * DAY_MS)
        assert {block.id for block in settled} == {block.id for block in overdue.blocks}
        assert all(abs((block.lifted_ms or 0) - now) < HOUR_MS for block in settled)
        assert ends(ledger, violation.incident) == {now + DAY_MS}


def test_confirmed_it_is_the_ladders_full_block(ledger: DurableLedger, violate: Violate) -> None:
    violation = violate()
    assert all(block.provisional for block in violation.blocks)
    incident, changed = ledger.review(
        violation.incident.id, IncidentState.CONFIRMED, "seen", "rita", NOW + 5, POLICY
    )
    assert incident.state is IncidentState.CONFIRMED
    assert (incident.review.reviewed_by, incident.review.first_confirmed_by) == ("rita", "rita")
    assert {block.id for block in changed} == {block.id for block in violation.blocks}
    assert {(block.until_ms, block.provisional) for block in changed} == {(NOW + 30 * DAY_MS, False)}
    assert ledger.settle_unreviewed(POLICY, NOW + 2 * DAY_MS) == ()
    assert violate(NOW + 3 * DAY_MS).blocks[0].full_until_ms == NOW + 183 * DAY_MS
    with pytest.raises(InvalidInput, match="confirmed already by rita"):
        confirm(ledger, violation, "rolf", NOW + 6)


def test_a_block_that_stands_is_full_when_its_time_is_over(ledger: DurableLedger, violate: Violate) -> None:
    standing = Policy(review=ReviewPolicy(detector=UnreviewedOutcome.STAND))
    violation = violate(policy=standing)
    assert ends(ledger, violation.incident) == {NOW + 30 * DAY_MS}
    settled = ledger.settle_unreviewed(standing, NOW + DAY_MS + LATE_MS)
    assert [(block.provisional, block.lifted_ms) for block in settled] == [(False, None)] * len(settled)
    assert ends(ledger, violation.incident) == {NOW + 30 * DAY_MS}
    assert ledger.strikes_of("anna")[0].pardoned_ms is None


def test_what_is_taken_back_never_happened_for_later_blocks_either(
    ledger: DurableLedger, violate: Violate
) -> None:
    first, second, third = (violate(NOW + n) for n in range(3))
    confirm(ledger, second, "rita", NOW + 10)
    confirm(ledger, third, "rita", NOW + 10)
    assert ends(ledger, third.incident) == {PERMANENT_MS}
    _, changed = ledger.review(
        first.incident.id, IncidentState.OVERTURNED, "a film", "rita", NOW + 20, POLICY
    )
    lifted = {block.id for block in changed if block.lifted_ms is not None}
    assert lifted == {block.id for block in first.blocks}
    assert ends(ledger, second.incident) == {NOW + 1 + 30 * DAY_MS}
    assert ends(ledger, third.incident) == {NOW + 2 + 180 * DAY_MS}
    strike, undone = ledger.pardon_strike(POLICY, second.strike.id, "grace", "rita", NOW + 30)
    assert (strike.pardoned_by, strike.pardon_reason) == ("rita", "pardoned: grace")
    assert {block.id for block in undone.lifted} == {block.id for block in second.blocks}
    assert ends(ledger, third.incident) == {NOW + 2 + 30 * DAY_MS}
    with pytest.raises(Conflict, match="pardoned already by rita"):
        ledger.pardon_strike(POLICY, second.strike.id, "grace", "rita", NOW + 31)
    with pytest.raises(NotFound):
        ledger.pardon_strike(POLICY, "sk_none", "grace", "rita", NOW + 31)


def test_a_strike_that_lapses_shortens_what_came_after(ledger: DurableLedger, violate: Violate) -> None:
    violate()
    second = violate(NOW + 20 * HOUR_MS)
    confirm(ledger, second, "rita", NOW + 21 * HOUR_MS)
    assert ends(ledger, second.incident) == {NOW + 20 * HOUR_MS + 180 * DAY_MS}
    ledger.settle_unreviewed(POLICY, NOW + DAY_MS + LATE_MS)
    assert ends(ledger, second.incident) == {NOW + 20 * HOUR_MS + 30 * DAY_MS}


def test_severe_is_permanent_at_once_and_waits_for_people_all_the_same(
    ledger: DurableLedger, violate: Violate
) -> None:
    violation = violate(severity=Severity.SEVERE)
    assert violation.strike.severity is Severity.SEVERE
    assert {block.full_until_ms for block in violation.blocks} == {PERMANENT_MS}
    assert ends(ledger, violation.incident) == {NOW + DAY_MS}
    confirm(ledger, violation, "rita", NOW + 1)
    assert ends(ledger, violation.incident) == {PERMANENT_MS}


def test_a_permanent_block_needs_the_word_of_two(ledger: DurableLedger, violate: Violate) -> None:
    violation = violate(policy=TWO, severity=Severity.SEVERE)
    incident = confirm(ledger, violation, "rita", NOW + 1, TWO)
    assert incident.state is IncidentState.CONFIRMED_ONCE
    assert ends(ledger, violation.incident) == {NOW + 90 * DAY_MS}
    assert ledger.strikes_of("anna")[0].review_by_ms is None
    with pytest.raises(PermissionRefused, match="rita has confirmed"):
        confirm(ledger, violation, "rita", NOW + 2, TWO)
    assert confirm(ledger, violation, "rolf", NOW + 3, TWO).state is IncidentState.CONFIRMED
    assert ends(ledger, violation.incident) == {PERMANENT_MS}
    once = violate(policy=TWO, severity=Severity.SEVERE, who="berta")
    confirm(ledger, once, "rita", NOW + 1, TWO)
    assert ledger.settle_unreviewed(TWO, NOW + 80 * DAY_MS) == ()
    settled = ledger.settle_unreviewed(TWO, NOW + 90 * DAY_MS + LATE_MS)
    assert {block.lifted_by for block in settled} == {"gate"}
    assert ledger.strikes_of("berta")[0].pardoned_ms is None, "one person stood for the strike"


def test_a_permanent_block_by_hand_needs_two_as_well(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    block = ledger.add_block(SubjectKind.BROADCASTER, "anna", "", None, "spam", "rita", NOW, TWO.review)
    assert (block.until_ms, block.provisional) == (NOW + 90 * DAY_MS, True)
    with pytest.raises(PermissionRefused, match="another person"):
        ledger.confirm_block(block.id, "so it is", "rita", NOW + 1)
    (confirmed,) = ledger.confirm_block(block.id, "so it is", "rolf", NOW + 1)
    assert (confirmed.until_ms, confirmed.provisional) == (PERMANENT_MS, False)
    with pytest.raises(Conflict, match="does not wait"):
        ledger.confirm_block(block.id, "so it is", "rolf", NOW + 2)
    flag = make_incident(action=Action.FLAG)
    ledger.record_incident(flag, NOW)
    _, made = ledger.add_strike(TWO, "", "", "", Severity.SEVERE, "x", "rita", NOW, incident_id=flag.id)
    assert {(b.until_ms, b.provisional) for b in made} == {(NOW + 90 * DAY_MS, True)}
    word = ledger.confirm_block(made[1].id, "so it is", "rolf", NOW + 1)
    assert [b.id for b in word] == [made[1].id, made[0].id], "one word for every block of the strike"
    assert {b.until_ms for b in word} == {PERMANENT_MS}
    short = ledger.add_block(SubjectKind.BROADCASTER, "anna", "", 1000, "spam", "rita", NOW, TWO.review)
    assert not short.provisional


def test_a_claim_keeps_others_away_until_it_ends(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    flag = make_incident(action=Action.FLAG)
    ledger.record_incident(flag, NOW)
    claimed = ledger.claim(flag.id, "rita", NOW, HOUR_MS)
    assert (claimed.review.claimed_by, claimed.review.claimed_until_ms) == ("rita", NOW + HOUR_MS)
    for refused in (
        lambda: ledger.claim(flag.id, "rolf", NOW + 1, HOUR_MS),
        lambda: ledger.release(flag.id, "rolf", NOW + 1),
        lambda: ledger.review(flag.id, IncidentState.OVERTURNED, "no", "rolf", NOW + 1, POLICY),
    ):
        with pytest.raises(Conflict, match=r"claimed by rita until 2023-11-14 23:13:20 UTC"):
            refused()
    assert ledger.incidents(claimed_by="rita") == (claimed,)
    assert ledger.claim(flag.id, "rita", NOW + 5, HOUR_MS).review.claimed_until_ms == NOW + 5 + HOUR_MS
    assert ledger.claim(flag.id, "rolf", NOW + 5 + HOUR_MS, HOUR_MS).review.claimed_by == "rolf"
    assert ledger.release(flag.id, "rolf", NOW + 6 + HOUR_MS).review.claimed_by is None
    ledger.claim(flag.id, "rita", NOW + 2 * HOUR_MS, HOUR_MS)
    decided, _ = ledger.review(flag.id, IncidentState.CONFIRMED, "yes", "rita", NOW + 2 * HOUR_MS, POLICY)
    assert decided.review.claimed_by is None


def test_incidents_are_found_by_what_is_known_of_them(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    early, late = make_incident(action=Action.FLAG), make_incident("berta", created_ms=NOW + 10)
    for incident in (early, late):
        ledger.record_incident(incident, NOW)
    assert ledger.incidents(since_ms=NOW + 1) == (late,)
    assert ledger.incidents(until_ms=NOW + 10) == (early,)
    assert ledger.incidents(category="fight", app="live", state=IncidentState.OPEN) == (late, early)
    assert ledger.incidents(category="gore") == ledger.incidents(app="other") == ()


def test_strikes_by_hand_climb_the_same_ladder(ledger: DurableLedger, make_incident: MakeIncident) -> None:
    _, (first,) = ledger.add_strike(POLICY, "anna", "", "spam", Severity.NORMAL, "seen", "rita", NOW)
    assert (first.until_ms, first.provisional, first.created_by) == (NOW + 30 * DAY_MS, False, "rita")
    flag = make_incident(action=Action.FLAG)
    ledger.record_incident(flag, NOW)
    strike, blocks = ledger.add_strike(
        POLICY, "", "", "", Severity.NORMAL, "seen", "rita", NOW + 1, incident_id=flag.id
    )
    assert (strike.incident_id, strike.category) == (flag.id, "fight")
    assert {(block.subject_kind.value, block.subject) for block in blocks} == {
        ("broadcaster", "anna"),
        ("stream_key", "k-1"),
    }
    assert {block.until_ms for block in blocks} == {NOW + 1 + 180 * DAY_MS}
    assert ledger.strikes(broadcaster="anna")[0].id == strike.id
    with pytest.raises(Conflict, match=f"has the strike {strike.id}"):
        ledger.add_strike(POLICY, "", "", "", Severity.NORMAL, "x", "rita", NOW, incident_id=flag.id)
    with pytest.raises(InvalidInput, match="another broadcaster"):
        ledger.add_strike(POLICY, "berta", "", "", Severity.NORMAL, "x", "rita", NOW, incident_id=flag.id)
    with pytest.raises(InvalidInput, match="broadcaster"):
        ledger.add_strike(POLICY, "", "", "", Severity.NORMAL, "x", "rita", NOW)
    # Overturning the incident takes the manual strike back, too.
    _, changed = ledger.review(flag.id, IncidentState.OVERTURNED, "no", "rolf", NOW + 2, POLICY)
    assert {block.id for block in changed} == {block.id for block in blocks}
    assert ledger.strikes(broadcaster="anna", include_pardoned=False)[0].category == "spam"


@pytest.mark.parametrize("against", ["incident", "block"])
def test_appeal_against_a_strike_by_hand_counts_for_what_the_person_saw(
    ledger: DurableLedger, make_incident: MakeIncident, against: str
) -> None:
    flag = make_incident(action=Action.FLAG, created_ms=NOW)
    ledger.record_incident(flag, NOW)
    with pytest.raises(Conflict, match="no block rests on"):
        ledger.file_appeal("not me", "shop", NOW, POLICY, incident_id=flag.id)
    struck_ms = NOW + POLICY.review.appeal_ms
    _, made = ledger.add_strike(
        POLICY, "", "", "", Severity.NORMAL, "seen", "rita", struck_ms, incident_id=flag.id
    )
    named = {"incident_id": flag.id} if against == "incident" else {"block_id": made[0].id}
    appeal = ledger.file_appeal("not me", "shop", struck_ms + 1, POLICY, **named)
    assert (appeal.incident_id, appeal.broadcaster) == (flag.id, flag.publish.broadcaster)
    _, lifted = ledger.review(flag.id, IncidentState.OVERTURNED, "a play", "omar", struck_ms + 2, POLICY)
    assert {each.id for each in lifted} == {each.id for each in made}
    assert ledger.appeal(appeal.id).state is AppealState.GRANTED
    _, (again,) = ledger.add_strike(POLICY, "anna", "", "x", Severity.NORMAL, "seen", "rita", struck_ms + 3)
    assert ledger.file_appeal("no", "shop", struck_ms + 4, POLICY, block_id=again.id).incident_id is None


def test_what_the_policy_links_is_blocked_together(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    ladder = LadderPolicy(link=("stream_key", "address", "attribute:device"), scope=StrikeScope.APP)
    incident = make_incident()
    publish = dataclasses.replace(
        incident.publish, address="2001:db8::7%eth0", attributes={"stream_key": "k-1", "device": "d=7"}
    )
    violation = ledger.record_violation(
        dataclasses.replace(incident, publish=publish), Sanction(ladder=ladder), NOW
    )
    assert {(block.subject_kind.value, block.subject) for block in violation.blocks} == {
        ("broadcaster", "anna"),
        ("stream_key", "k-1"),
        ("address", "2001:db8::/64"),
        ("attribute", "device=d=7"),
    }
    assert {block.app for block in violation.blocks} == {"live"}
    view = AdmissionView()
    view.load(ledger.active_blocks(NOW))
    other = dataclasses.replace(publish, broadcaster="another", address="", attributes={"device": "d=7"})
    assert view.check(other, NOW) in violation.blocks
    assert view.check(dataclasses.replace(other, attributes={}, address="2001:DB8::9"), NOW) is not None
    assert view.check(dataclasses.replace(other, attributes={}, address="2001:db8:1::9"), NOW) is None
    # Sharing a machine, or having no address, blocks nobody else.
    local = dataclasses.replace(publish, address="::ffff:127.0.0.1")
    again = dataclasses.replace(make_incident(), publish=local)
    kinds = {b.subject_kind for b in ledger.record_violation(again, Sanction(ladder=ladder), NOW).blocks}
    assert SubjectKind.ADDRESS not in kinds


def test_appeals_are_bounded_and_decided_by_the_review(ledger: DurableLedger, violate: Violate) -> None:
    violation = violate()
    ident = violation.incident.id
    for text, problem in (("", "empty"), ("é" * MAX_TEXT_BYTES, "8192 bytes is over the limit of 4096")):
        with pytest.raises(InvalidInput, match=problem):
            ledger.file_appeal(text, "shop", NOW, POLICY, incident_id=ident)
    with pytest.raises(InvalidInput, match="one of them"):
        ledger.file_appeal("no", "shop", NOW, POLICY)
    appeal = ledger.file_appeal("not me", "shop", NOW + 1, POLICY, block_id=violation.blocks[0].id)
    assert (appeal.incident_id, appeal.broadcaster, appeal.state) == (ident, "anna", AppealState.OPEN)
    with pytest.raises(Conflict, match="not decided yet"):
        ledger.file_appeal("not me", "shop", NOW + 1, POLICY, incident_id=ident)
    with pytest.raises(Conflict, match="decided by the review"):
        ledger.deny_appeal(appeal.id, "no", "rita", NOW + 2)
    confirm(ledger, violation, "rita", NOW + 2)
    denied = ledger.appeal(appeal.id)
    assert (denied.state, denied.decided_by, denied.decision_reason) == (AppealState.DENIED, "rita", "seen")
    second = ledger.file_appeal("it was a film", "shop", NOW + 3, POLICY, incident_id=ident)
    assert ledger.case(ident).appeals == (denied, second)
    ledger.review(ident, IncidentState.OVERTURNED, "a film", "rolf", NOW + 4, POLICY)
    assert ledger.appeal(second.id).state is AppealState.GRANTED
    assert ledger.appeals(state=AppealState.OPEN) == ()
    with pytest.raises(Conflict, match="overturned already"):
        ledger.file_appeal("again", "shop", NOW + 5, POLICY, incident_id=ident)


def test_appeals_end_with_their_time_and_number(ledger: DurableLedger, violate: Violate) -> None:
    few = Policy(review=ReviewPolicy(appeals=1, appeal_ms=DAY_MS))
    violation = violate()
    with pytest.raises(LimitExceeded, match="time since the block began"):
        ledger.file_appeal("late", "shop", NOW + DAY_MS + 1, few, incident_id=violation.incident.id)
    ledger.file_appeal("not me", "shop", NOW + 1, few, incident_id=violation.incident.id)
    confirm(ledger, violation, "rita", NOW + 2)
    with pytest.raises(LimitExceeded, match="2 appeals is over the limit of 1"):
        ledger.file_appeal("not me", "shop", NOW + 3, few, incident_id=violation.incident.id)


def test_appeals_against_blocks_by_hand(ledger: DurableLedger) -> None:
    def block(who: str) -> Block:
        return ledger.add_block(SubjectKind.BROADCASTER, who, "", None, "spam", "rita", NOW)

    first, second = block("anna"), block("berta")
    granted = ledger.file_appeal("not me", "shop", NOW + 1, POLICY, block_id=first.id)
    denied = ledger.file_appeal("not me", "shop", NOW + 1, POLICY, block_id=second.id)
    ledger.lift_block(first.id, "not her", "rolf", NOW + 2)
    assert ledger.appeal(granted.id).state is AppealState.GRANTED
    assert ledger.deny_appeal(denied.id, "it was", "rolf", NOW + 2).state is AppealState.DENIED
    with pytest.raises(Conflict, match="does not hold"):
        ledger.file_appeal("thanks", "shop", NOW + 3, POLICY, block_id=first.id)


def test_a_cut_whose_caller_is_gone_ends_and_a_late_proof_counts(
    ledger: DurableLedger, violate: Violate
) -> None:
    lost, asking = violate().incident, violate(who="berta").incident
    ledger.mark_cut_unconfirmed(asking.id, NOW + 5, UnconfirmedReason.LIMIT)
    ledger.mark_cut_unconfirmed(lost.id, NOW + 5, UnconfirmedReason.CALLER_GONE)
    assert [incident.id for incident in ledger.pending_cuts()] == [asking.id]
    ledger.mark_cut_confirmed(lost.id, NOW + 6, "confirm_cut")
    stored = ledger.incident(lost.id)
    assert (stored.cut_unconfirmed_reason, stored.confirmed_by) == ("caller_gone", "confirm_cut")


def test_a_block_of_the_journal_is_provisional_too(
    store: Store, ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    first, later = make_incident(), make_incident(created_ms=NOW + 1)
    ledger.record_violation(first, sanction(), NOW)
    waiting = make_violation(later, sanction(), (), NOW + 1)
    assert {block.full_until_ms for block in waiting.blocks} == {NOW + 1 + 30 * DAY_MS}
    Journal(store.journal).append(Violated(waiting, sanction()))
    adopted = ledger.reconcile()
    assert {(block.until_ms, block.full_until_ms) for block in adopted} == {
        (NOW + 1 + DAY_MS, NOW + 1 + 180 * DAY_MS)
    }
    assert {block.id for block in adopted} == {block.id for block in waiting.blocks}
    assert ledger.strikes_of("anna")[1].review_by_ms == NOW + 1 + DAY_MS
