"""People share the queue, say what they think, need one another, and take decisions back, row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from edge.banking import Banking, BankingState
from edge.domain import PERMANENT_MS, Action, Incident, IncidentState, Severity
from edge.errors import Conflict, GateError, InvalidInput, LimitExceeded, NotFound, PermissionRefused
from edge.ladder import Sanction
from edge.ledger import DurableLedger, Violation
from edge.ledger.comments import MAX_COMMENT_BYTES, MAX_COMMENTS
from edge.ledger.tables import appeals, blocks, incidents, strikes
from edge.policy import CategoryPolicy, Policy, QueuePolicy, ReviewPolicy, SecondLevel, SharingPolicy
from tests.ledger.conftest import NOW, _make
from tests.ledger.test_occasions import assert_proven

if TYPE_CHECKING:
    from tests.postgresql import Store

POLICY = Policy()
SEVERE = Policy(
    categories={"fight": CategoryPolicy(severity=Severity.SEVERE)},
    review=ReviewPolicy(two_person_severe=True),
)
MINUTE_MS = 60_000


@pytest.fixture
def ledger(store: Store) -> Iterator[DurableLedger]:
    opened = DurableLedger.open(store.url, store.journal, busy_timeout_ms=20_000)
    yield opened
    opened.close()


def flag(ledger: DurableLedger, broadcaster: str = "anna", at_ms: int = NOW) -> str:
    incident = _make(broadcaster, action=Action.FLAG, created_ms=at_ms)
    ledger.record_incident(incident, at_ms)
    return incident.id


def violate(ledger: DurableLedger, policy: Policy = POLICY, at_ms: int = NOW) -> Violation:
    severity = policy.categories["fight"].severity
    sanction = Sanction(ladder=policy.ladder, review=policy.review, severity=severity)
    return ledger.record_violation(_make(created_ms=at_ms), sanction, at_ms)


def decide(
    ledger: DurableLedger,
    incident_id: str,
    state: IncidentState,
    by: str = "rita",
    at_ms: int = NOW + 1,
    policy: Policy = POLICY,
    *,
    senior: bool = False,
) -> Incident:
    return ledger.review(incident_id, state, "seen", by, at_ms, policy, senior=senior)[0]


# Claims


def test_a_claim_that_times_out_is_free_again(ledger: DurableLedger) -> None:
    one = flag(ledger)
    ledger.claim(one, "rita", NOW, MINUTE_MS)
    with pytest.raises(Conflict, match="claimed by rita"):
        ledger.claim(one, "omar", NOW + MINUTE_MS - 1, MINUTE_MS)
    assert ledger.claim_first([one], "omar", NOW + MINUTE_MS - 1, MINUTE_MS) is None
    taken = ledger.claim_first([one], "omar", NOW + MINUTE_MS, MINUTE_MS)
    assert taken is not None
    assert (taken.review.claimed_by, taken.review.looked_by) == ("omar", "rita")


def test_nobody_holds_more_than_the_policy_allows(ledger: DurableLedger) -> None:
    ids = [flag(ledger) for _ in range(4)]
    for each in ids[:2]:
        ledger.claim(each, "rita", NOW, MINUTE_MS, 2)
    ledger.claim(ids[0], "rita", NOW, MINUTE_MS, 2)  # its own is no further one
    with pytest.raises(Conflict, match=r"rita has claimed 2 incidents, the most that queue\.claims"):
        ledger.claim(ids[2], "rita", NOW, MINUTE_MS, 2)
    with pytest.raises(Conflict, match="decide or release one"):
        ledger.claim_first(ids, "rita", NOW, MINUTE_MS, 2)
    decide(ledger, ids[0], IncidentState.OVERTURNED)
    third = ledger.claim_first(ids, "rita", NOW, MINUTE_MS, 2)
    assert third is not None
    assert third.id == ids[2], "what somebody has, or what is decided, is no job"
    assert ledger.claim_first(ids, "omar", NOW, MINUTE_MS, 2) is not None
    assert ledger.claim_first(ids, "nora", NOW, MINUTE_MS, 2) is None


def test_the_first_look_is_noted_once(ledger: DurableLedger, store: Store) -> None:
    one, two = flag(ledger), flag(ledger)
    assert ledger.note_look(one, "rita", NOW + 5) is not None
    assert ledger.note_look(one, "omar", NOW + 9) is None
    assert decide(ledger, one, IncidentState.CONFIRMED, "omar").review.looked_by == "rita"
    review = decide(ledger, two, IncidentState.OVERTURNED, at_ms=NOW - 9).review
    assert (review.looked_by, review.looked_ms) == ("rita", NOW), "not before it was opened"
    assert ledger.note_look(two, "omar", NOW + 9) is None
    with pytest.raises(NotFound):
        ledger.note_look("in_none", "rita", NOW)
    assert_proven(ledger, store)


# Comments


def test_comments_are_bounded_and_on_record(ledger: DurableLedger, store: Store) -> None:
    one = flag(ledger)
    before = ledger.head().number
    ledger.add_comment(one, "a <b>boxing</b> club?\nسؤال", "rita", NOW)
    ledger.add_comment(one, "yes", "omar", NOW)
    assert [(each.created_by, each.text) for each in ledger.case(one).comments] == [
        ("rita", "a <b>boxing</b> club?\nسؤال"),
        ("omar", "yes"),
    ]
    assert [change.what for change in ledger.incident_changes(before).changes] == ["comment"]
    with pytest.raises(LimitExceeded, match="2002 bytes"):
        ledger.add_comment(one, "é" * (MAX_COMMENT_BYTES // 2 + 1), "rita", NOW)
    with pytest.raises(NotFound):
        ledger.add_comment("in_none", "?", "rita", NOW)
    for number in range(MAX_COMMENTS - 2):
        ledger.add_comment(one, str(number), "rita", NOW)
    with pytest.raises(LimitExceeded, match="comments on one incident"):
        ledger.add_comment(one, "one too many", "rita", NOW)
    assert_proven(ledger, store)


# A second person


@pytest.mark.parametrize("cut", [True, False])
def test_what_is_severe_needs_two_people(ledger: DurableLedger, cut: bool) -> None:
    one = violate(ledger, SEVERE).incident.id if cut else flag(ledger)
    proposed = decide(ledger, one, IncidentState.CONFIRMED, "rita", policy=SEVERE)
    assert proposed.state is IncidentState.CONFIRMED_ONCE
    assert all(block.provisional and block.until_ms < PERMANENT_MS for block in ledger.case(one).blocks)
    with pytest.raises(PermissionRefused, match="another person"):
        decide(ledger, one, IncidentState.CONFIRMED, "rita", policy=SEVERE)
    assert ledger.case(one).incident == proposed
    assert (
        decide(ledger, one, IncidentState.CONFIRMED, "omar", policy=SEVERE).state is IncidentState.CONFIRMED
    )
    assert {block.until_ms for block in ledger.case(one).blocks} == ({PERMANENT_MS} if cut else set())


def test_one_person_is_enough_for_what_is_not_severe(ledger: DurableLedger) -> None:
    policy = POLICY.model_copy(update={"review": SEVERE.review})
    one = violate(ledger, policy).incident.id
    assert decide(ledger, one, IncidentState.CONFIRMED, policy=policy).state is IncidentState.CONFIRMED


@pytest.mark.parametrize(
    ("level", "same", "other", "admin"),
    [
        (SecondLevel.ANYONE, True, True, True),
        (SecondLevel.ANOTHER, False, True, True),
        (SecondLevel.ADMIN, False, False, True),
    ],
)
@pytest.mark.parametrize("state", [IncidentState.CONFIRMED, IncidentState.OVERTURNED])
def test_what_is_escalated_is_decided_by_the_second_level(
    ledger: DurableLedger, level: SecondLevel, same: bool, other: bool, admin: bool, state: IncidentState
) -> None:
    policy = Policy(review=ReviewPolicy(second_level=level))
    for by, senior, may in (("rita", False, same), ("omar", False, other), ("root", True, admin)):
        one = flag(ledger)
        decide(ledger, one, IncidentState.ESCALATED, "rita", policy=policy)
        with contextlib.nullcontext() if may else pytest.raises(PermissionRefused, match="second_level"):
            decide(ledger, one, state, by, policy=policy, senior=senior)
        assert ledger.incident(one).state is (state if may else IncidentState.ESCALATED)


# Undo


def rows(store: Store) -> dict[str, Any]:
    """Every row that a decision may change. Where a change is known by is another each time."""
    found = {}
    with store.engine.connect() as connection:
        for table in (incidents, strikes, blocks, appeals):
            for row in connection.execute(sa.select(table)).mappings():
                left_out = ("undo", "undo_until_ms", "revision", "looked_by", "looked_ms")
                found[f"{table.name} {row['id']}"] = {k: v for k, v in row.items() if k not in left_out}
    return found


@pytest.mark.parametrize(
    "state", [IncidentState.CONFIRMED, IncidentState.OVERTURNED, IncidentState.ESCALATED]
)
@pytest.mark.parametrize("policy", [POLICY, SEVERE], ids=["usual", "severe"])
def test_an_undone_decision_leaves_every_row_as_it_was(
    ledger: DurableLedger, store: Store, state: IncidentState, policy: Policy
) -> None:
    first = violate(ledger, policy)
    violate(ledger, policy, NOW + 2)  # its ladder counts the first one
    ledger.file_appeal("it was sport", "app", NOW + 3, policy, incident_id=first.incident.id, block_id=None)
    ledger.claim(first.incident.id, "rita", NOW + 4, MINUTE_MS)
    before, number = rows(store), ledger.head().number
    decided = decide(ledger, first.incident.id, state, at_ms=NOW + 5, policy=policy)
    assert rows(store) != before
    assert decided.review.undo_until_ms == NOW + 5 + MINUTE_MS
    again, changed = ledger.undo_review(first.incident.id, "rita", NOW + 4 + MINUTE_MS)
    assert rows(store) == before
    assert again.state is IncidentState.OPEN
    if state is not IncidentState.ESCALATED:
        assert {block.id for block in first.blocks} <= {block.id for block in changed}
        listed = {block.id: block for block in ledger.changes_after(ledger.revision(), 9).blocks}  # type: ignore[union-attr]
        assert listed == {}
    said = [row.what for row in ledger.audit_rows(after=number)]
    assert said == ["review", "undo"]
    assert_proven(ledger, store)
    assert decide(ledger, first.incident.id, state, at_ms=NOW + 9, policy=policy).state is decided.state


def test_only_whoever_decided_undoes_it_and_only_for_a_while(ledger: DurableLedger) -> None:
    one = violate(ledger).incident.id

    def refused(kind: type[GateError], by: str = "rita", at_ms: int = NOW + 2) -> str:
        with pytest.raises(kind) as caught:
            ledger.undo_review(one, by, at_ms)
        return str(caught.value)

    assert "no decision that can be undone" in refused(Conflict)
    decide(ledger, one, IncidentState.OVERTURNED)
    assert "decided by rita" in refused(PermissionRefused, "omar")
    assert "decide anew" in refused(Conflict, at_ms=NOW + 1 + MINUTE_MS)
    ledger.undo_review(one, "rita", NOW + MINUTE_MS)
    assert "no decision" in refused(Conflict)
    never = POLICY.model_copy(update={"queue": QueuePolicy(undo_ms=0)})
    assert decide(ledger, one, IncidentState.CONFIRMED, policy=never).review.undo_until_ms is None
    assert "no decision" in refused(Conflict)


def test_what_has_changed_since_is_not_undone(ledger: DurableLedger, store: Store) -> None:
    made = violate(ledger)
    decide(ledger, made.incident.id, IncidentState.CONFIRMED)
    ledger.lift_block(made.blocks[0].id, "a mistake", "omar", NOW + 2)
    before = rows(store)
    with pytest.raises(Conflict, match=r"blocks bl_\w+ has changed since"):
        ledger.undo_review(made.incident.id, "rita", NOW + 3)
    assert rows(store) == before
    other = flag(ledger)
    decide(ledger, other, IncidentState.CONFIRMED)
    ledger.claim(other, "omar", NOW + 2, MINUTE_MS)
    with pytest.raises(Conflict, match="claimed by omar"):
        ledger.undo_review(other, "rita", NOW + 3)


def test_a_second_word_is_undone_and_the_first_one_stays(ledger: DurableLedger) -> None:
    one = violate(ledger, SEVERE).incident.id
    decide(ledger, one, IncidentState.CONFIRMED, "rita", policy=SEVERE)
    decide(ledger, one, IncidentState.CONFIRMED, "omar", policy=SEVERE)
    again, changed = ledger.undo_review(one, "omar", NOW + 2)
    assert again.state is IncidentState.CONFIRMED_ONCE
    assert (again.review.first_confirmed_by, again.review.reviewed_by) == ("rita", "rita")
    assert all(block.provisional for block in changed)
    with pytest.raises(Conflict):
        ledger.undo_review(one, "rita", NOW + 3)


def test_a_second_person_stands_for_what_is_shared(ledger: DurableLedger, store: Store) -> None:
    two = Policy(sharing=SharingPolicy(second_person=True))
    one = flag(ledger)
    decide(ledger, one, IncidentState.CONFIRMED, policy=two)
    ledger.set_banking(one, Banking(BankingState.BANKED), NOW + 2)
    assert ledger.confirmed_by_one() == {one}
    with pytest.raises(InvalidInput, match="confirmed already by rita"):
        decide(ledger, one, IncidentState.CONFIRMED, at_ms=NOW + 3, policy=two)
    with pytest.raises(InvalidInput, match="confirmed already by rita"):
        decide(ledger, one, IncidentState.CONFIRMED, "omar", NOW + 3)
    again = decide(ledger, one, IncidentState.CONFIRMED, "omar", NOW + 4, two)
    assert (again.review.first_confirmed_by, again.review.reviewed_by) == ("rita", "omar")
    assert ledger.confirmed_by_one() == frozenset()
    with pytest.raises(InvalidInput, match="confirmed already by omar"):
        decide(ledger, one, IncidentState.CONFIRMED, "nora", NOW + 5, two)
    assert_proven(ledger, store)
