"""The guards of bank entries only take away, and few reviews decide nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Action
from edge.match import BankInfo, BankPurpose, Entry, EntryKind
from edge.match.bank.guards import (
    GUARDS_FILE,
    EntryFinding,
    Facts,
    GuardReason,
    Guards,
    SourceRecord,
    SourceTerms,
    read_guards,
    standing,
    write_guards,
)
from edge.policy import GuardPolicy, SourceRule
from edge.supervise.entry_guards import source_record

STRENGTH = [Action.PASS, Action.FLAG, Action.CUT]
FACTS = st.builds(
    Facts,
    purpose=st.sampled_from(BankPurpose),
    quarantined=st.booleans(),
    checked=st.booleans(),
    age_ms=st.integers(0, 10),
    finding=st.none()
    | st.builds(
        EntryFinding,
        benign_share=st.sampled_from([0.0, 0.1, 1.0]),
        weight=st.floats(0, 20),
        own_calm=st.integers(0, 2),
    ),
    most_seen=st.sampled_from([0.0, 10.0]),
    probation_ms=st.integers(0, 10),
    vouched=st.booleans(),
    demoted=st.booleans(),
)


@given(FACTS)
def test_no_entry_may_do_more_than_its_bank_is_for_and_what_is_held_has_a_reason(facts: Facts) -> None:
    found = standing(facts)
    most = facts.purpose.at_most(quarantined=False)
    assert STRENGTH.index(found.action) <= STRENGTH.index(most)
    assert found.reasons or found.action is most
    if found.action is Action.CUT:
        assert found.reasons == ()
    after = found.of(facts.purpose)
    assert (after is BankPurpose.BENIGN) is (facts.purpose is BankPurpose.BENIGN), "benign footage stays so"
    if facts.purpose is not BankPurpose.BENIGN:
        assert after.at_most(quarantined=False) is found.action


@given(FACTS)
def test_people_who_vouch_for_a_source_lift_all_but_benign_banks_and_quarantine(facts: Facts) -> None:
    lifted = {GuardReason.SEEN, GuardReason.OWN_CALM, GuardReason.DEMOTED, GuardReason.PROBATION}
    if facts.vouched:
        assert not lifted & set(standing(facts).reasons)


@pytest.mark.parametrize(
    ("facts", "action", "reason"),
    [
        (Facts(BankPurpose.VIOLATING), Action.CUT, None),
        (
            Facts(BankPurpose.VIOLATING, finding=EntryFinding(weight=11), most_seen=10),
            Action.PASS,
            GuardReason.SEEN,
        ),
        (Facts(BankPurpose.VIOLATING, finding=EntryFinding(weight=9), most_seen=10), Action.CUT, None),
        (
            Facts(BankPurpose.VIOLATING, finding=EntryFinding(benign_share=0.2)),
            Action.FLAG,
            GuardReason.BENIGN,
        ),
        (
            Facts(BankPurpose.VIOLATING, finding=EntryFinding(benign_share=0.9)),
            Action.PASS,
            GuardReason.BENIGN,
        ),
        (Facts(BankPurpose.VIOLATING, finding=EntryFinding(own_calm=1)), Action.PASS, GuardReason.OWN_CALM),
        (Facts(BankPurpose.VIOLATING, age_ms=5, probation_ms=6), Action.FLAG, GuardReason.PROBATION),
        (Facts(BankPurpose.VIOLATING, age_ms=6, probation_ms=6), Action.CUT, None),
        (Facts(BankPurpose.VIOLATING, checked=False), Action.FLAG, GuardReason.UNCHECKED),
    ],
)
def test_each_guard_takes_what_it_is_for(facts: Facts, action: Action, reason: GuardReason | None) -> None:
    found = standing(facts)
    assert (found.action, found.reasons) == (action, () if reason is None else (reason,))


@given(confirmed=st.integers(0, 200), overturned=st.integers(0, 200))
def test_a_source_is_demoted_only_when_its_whole_interval_is_under_the_limit(
    confirmed: int, overturned: int
) -> None:
    counted = Counter(confirmed=confirmed, overturned=overturned)
    record = source_record(counted, GuardPolicy(), None, 5)
    reviews = confirmed + overturned
    assert record.low <= (confirmed / reviews if reviews else 0.5) <= record.high
    assert bool(record.demoted) is (record.high < 0.5)
    if reviews <= 3 or confirmed >= overturned:
        assert not record.demoted, "few reviews decide nothing, nor does a precision of a half"
    assert not source_record(counted, GuardPolicy(least_precision=0), None, 5).demoted


def test_banks_of_a_crisis_may_cut_at_once_and_those_of_exchanges_may_not() -> None:
    rules = GuardPolicy()
    assert rules.rule_of("crisis harbour").vouched
    assert rules.rule_of("exchange x").probation_ms
    assert rules.rule_of("shared by x").probation_ms
    assert rules.rule_of("known") == SourceRule(source="*")


def test_a_demotion_lasts_for_its_time_and_is_taken_back_by_better_reviews() -> None:
    bad, good = Counter(overturned=20), Counter(confirmed=40, overturned=20)
    demoted = source_record(bad, GuardPolicy(), None, 5)
    assert (demoted.demoted, demoted.since_ms) == ("20 of 20 reviewed matches were overturned", 5)
    assert source_record(bad, GuardPolicy(), demoted, 9).since_ms == 5
    assert not source_record(good, GuardPolicy(), demoted, 9).demoted
    for_a_day = SourceRecord(demoted="ran away", since_ms=5, until_ms=100)
    assert source_record(good, GuardPolicy(), for_a_day, 99).demoted == "ran away"
    assert not source_record(good, GuardPolicy(), for_a_day, 100).demoted


def test_where_an_entry_is_from_decides_its_terms(tmp_path: Path) -> None:
    guards = Guards(
        checked={"lent": {"d": 50}},
        sources={"exchange b": SourceRecord(demoted="wrong")},
        terms=(SourceTerms(source="exchange *", probation_ms=60),),
    )

    def facts(source: str, bank_source: str = "", added_ms: int = 0, segment: str = "d") -> Facts:
        entry = Entry("e", EntryKind.IMAGE, source=source, added_ms=added_ms)
        return guards.facts("lent", BankInfo(source=bank_source), entry, segment, 100, quarantined=False)

    assert facts("exchange a") == Facts(BankPurpose.VIOLATING, age_ms=50, probation_ms=60)
    assert facts("", "exchange b").demoted
    assert facts("", added_ms=90) == Facts(BankPurpose.VIOLATING, age_ms=10)
    assert not facts("", segment="other").checked
    assert read_guards(tmp_path) is None
    write_guards(tmp_path, guards)
    assert read_guards(tmp_path) == guards
    (tmp_path / GUARDS_FILE).write_bytes(b"torn")
    assert read_guards(tmp_path) is None
