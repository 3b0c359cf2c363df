"""The strike ladder, and the length of a block before review."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import (
    PERMANENT_MS,
    Action,
    BankSeverity,
    Incident,
    Publish,
    Severity,
    Signal,
    SignalSource,
    Strike,
    Verdict,
)
from edge.ladder import Term, block_until, by_vouched_footage, counts, sanction_of, term_of
from edge.ledger.violations import make_violation
from edge.policy import (
    DAY_MS,
    CategoryPolicy,
    LadderPolicy,
    Policy,
    ReviewPolicy,
    StrikeScope,
    UnreviewedOutcome,
)
from edge.reasons import VerdictReason

NOW = 1_790_000_000_000
LADDER = LadderPolicy()
REVIEW = ReviewPolicy()


def strike(
    age_ms: int = 0,
    *,
    pardoned: bool = False,
    category: str = "fight",
    app: str = "live",
    severity: Severity = Severity.NORMAL,
    review_by_ms: int | None = None,
) -> Strike:
    created = NOW - age_ms
    return Strike(
        f"sk{age_ms}",
        "u42",
        app,
        category,
        "in1",
        created,
        created + 1 if pardoned else None,
        severity,
        review_by_ms,
    )


any_severity = st.sampled_from(Severity)


def strikes(severities: st.SearchStrategy[Severity] = any_severity) -> st.SearchStrategy[Strike]:
    return st.builds(
        strike,
        st.integers(-DAY_MS, 800 * DAY_MS),
        pardoned=st.booleans(),
        category=st.sampled_from(["fight", "gore"]),
        app=st.sampled_from(["live", "other"]),
        severity=severities,
        review_by_ms=st.none() | st.integers(NOW - 2 * DAY_MS, NOW + DAY_MS),
    )


histories = st.lists(strikes(), max_size=8)
mild = st.just(Severity.NORMAL)
rising = st.lists(st.integers(1_000, PERMANENT_MS), min_size=1, max_size=6).map(lambda s: tuple(sorted(s)))
ladders = st.builds(
    LadderPolicy,
    steps_ms=st.lists(st.integers(1_000, PERMANENT_MS), min_size=1, max_size=6).map(tuple),
    lapse_ms=st.integers(1_000, 900 * DAY_MS),
    scope=st.sampled_from(StrikeScope),
    per_category=st.booleans(),
)
rising_ladders = st.builds(
    LadderPolicy,
    steps_ms=rising,
    lapse_ms=st.integers(1_000, 900 * DAY_MS),
    scope=st.sampled_from(StrikeScope),
    per_category=st.booleans(),
)


def test_the_default_ladder_is_30_days_180_days_permanent() -> None:
    assert block_until([], strike(), LADDER) == NOW + 30 * DAY_MS
    assert block_until([strike(1)], strike(), LADDER) == NOW + 180 * DAY_MS
    assert block_until([strike(1), strike(2)], strike(), LADDER) == PERMANENT_MS
    assert block_until([strike(1)] * 50, strike(), LADDER) == PERMANENT_MS


def test_a_strike_counts_to_the_end_of_its_lapse_and_no_longer() -> None:
    assert block_until([strike(LADDER.lapse_ms)], strike(), LADDER) == NOW + 180 * DAY_MS
    assert block_until([strike(LADDER.lapse_ms + 1)], strike(), LADDER) == NOW + 30 * DAY_MS


def test_a_strike_that_nobody_reviewed_in_time_is_gone_without_anybody_saying_so() -> None:
    assert block_until([strike(9, review_by_ms=NOW + 1)], strike(), LADDER) == NOW + 180 * DAY_MS
    assert block_until([strike(9, review_by_ms=NOW)], strike(), LADDER) == NOW + 30 * DAY_MS


def test_a_clock_that_was_set_back_does_not_forgive() -> None:
    assert block_until([strike(-DAY_MS)], strike(), LADDER) == NOW + 180 * DAY_MS


def test_strikes_count_by_category_and_by_app_when_the_policy_says_so() -> None:
    per_category = LadderPolicy(per_category=True)
    assert block_until([strike(1, category="gore")], strike(), LADDER) == NOW + 180 * DAY_MS
    assert block_until([strike(1, category="gore")], strike(), per_category) == NOW + 30 * DAY_MS
    per_app = LadderPolicy(scope=StrikeScope.APP)
    assert block_until([strike(1, app="other")], strike(), LADDER) == NOW + 180 * DAY_MS
    assert block_until([strike(1, app="other")], strike(), per_app) == NOW + 30 * DAY_MS


@given(histories, ladders, strikes(mild))
def test_in_the_future_and_a_step_or_permanent(
    before: list[Strike], ladder: LadderPolicy, new: Strike
) -> None:
    until = block_until(before, new, ladder)
    assert new.created_ms < until <= PERMANENT_MS
    steps = {min(new.created_ms + step, PERMANENT_MS) for step in ladder.steps_ms}
    assert until in steps | {PERMANENT_MS}


@given(histories, ladders, strikes(st.just(Severity.SEVERE)))
def test_severe_is_permanent_whatever_came_before(
    before: list[Strike], ladder: LadderPolicy, new: Strike
) -> None:
    assert block_until(before, new, ladder) == PERMANENT_MS


@given(histories, ladders, strikes(), st.randoms(use_true_random=False))
def test_the_order_of_strikes_changes_nothing(
    before: list[Strike], ladder: LadderPolicy, new: Strike, source: random.Random
) -> None:
    shuffled = list(before)
    source.shuffle(shuffled)
    assert block_until(shuffled, new, ladder) == block_until(before, new, ladder)


@given(histories, ladders, strikes(), st.integers(0, 7))
def test_a_pardon_is_as_if_it_had_never_happened(
    before: list[Strike], ladder: LadderPolicy, new: Strike, which: int
) -> None:
    position = which % (len(before) or 1)
    without = before[:position] + before[position + 1 :]
    pardoned = [dataclasses.replace(s, pardoned_ms=NOW) if s is before[position] else s for s in before]
    assert block_until(pardoned, new, ladder) == block_until(without, new, ladder)


@given(histories, ladders, strikes())
def test_what_has_lapsed_is_as_if_it_had_never_happened(
    before: list[Strike], ladder: LadderPolicy, new: Strike
) -> None:
    counting = [s for s in before if counts(s, ladder, new.created_ms)]
    assert block_until(counting, new, ladder) == block_until(before, new, ladder)


@given(histories, strikes(), strikes(), rising_ladders)
def test_one_strike_more_never_shortens_a_rising_ladder(
    before: list[Strike], one_more: Strike, new: Strike, ladder: LadderPolicy
) -> None:
    assert block_until([*before, one_more], new, ladder) >= block_until(before, new, ladder)


@given(histories, strikes(), ladders, st.integers(0, 7))
def test_a_heavier_strike_never_shortens(
    before: list[Strike], new: Strike, ladder: LadderPolicy, which: int
) -> None:
    heavier = [
        dataclasses.replace(s, severity=Severity.SEVERE) if n == which else s for n, s in enumerate(before)
    ]
    assert block_until(heavier, new, ladder) >= block_until(before, new, ladder)


# Length of a block before review.


def term(
    full_ms: int = NOW + 30 * DAY_MS, matched: bool = False, confirmed: int = 0, **review: object
) -> Term:
    policy = ReviewPolicy.model_validate(review)
    return term_of(full_ms, NOW, policy, matched=matched, confirmed=confirmed)


def test_by_default_what_rests_on_the_detector_lapses_after_a_day_and_a_match_stands() -> None:
    by_detector = term()
    assert (by_detector.until_ms, by_detector.provisional) == (NOW + DAY_MS, True)
    assert by_detector.review_by_ms == by_detector.strike_review_by_ms == NOW + DAY_MS
    assert term(matched=True) == Term(NOW + 30 * DAY_MS, NOW + 30 * DAY_MS)
    assert term(confirmed=1) == Term(NOW + 30 * DAY_MS, NOW + 30 * DAY_MS)


def test_a_detector_block_that_stands_is_provisional_until_its_time_is_over() -> None:
    assert term(detector="stand") == Term(NOW + 30 * DAY_MS, NOW + 30 * DAY_MS, True, NOW + DAY_MS)


def test_a_match_that_lapses_is_provisional() -> None:
    assert term(matched=True, match="lapse").until_ms == NOW + DAY_MS


def test_a_permanent_block_of_two_people_ends_until_the_second_has_spoken() -> None:
    rule: dict[str, Any] = {"two_person_permanent": True, "interim_ms": 90 * DAY_MS}
    assert term(PERMANENT_MS, **rule).until_ms == NOW + DAY_MS
    for nobody in (term(PERMANENT_MS, matched=True, **rule), term(PERMANENT_MS, detector="stand", **rule)):
        assert (nobody.until_ms, nobody.provisional) == (NOW + 90 * DAY_MS, True)
    one = term(PERMANENT_MS, confirmed=1, **rule)
    assert (one.until_ms, one.provisional, one.strike_review_by_ms) == (NOW + 90 * DAY_MS, True, None)
    assert term(PERMANENT_MS, confirmed=2, **rule) == Term(PERMANENT_MS, PERMANENT_MS)
    assert term(confirmed=1, **rule) == Term(NOW + 30 * DAY_MS, NOW + 30 * DAY_MS)
    assert term(PERMANENT_MS, confirmed=1) == Term(PERMANENT_MS, PERMANENT_MS)


reviews = st.builds(
    ReviewPolicy,
    provisional_ms=st.integers(1_000, 365 * DAY_MS),
    detector=st.sampled_from(UnreviewedOutcome),
    match=st.sampled_from(UnreviewedOutcome),
    two_person_permanent=st.booleans(),
    interim_ms=st.integers(1_000, 3650 * DAY_MS),
)


@given(st.integers(NOW + 1_000, PERMANENT_MS) | st.just(PERMANENT_MS), reviews, st.booleans())
def test_terms_hold_at_once_never_pass_the_full_block_and_people_only_lengthen(
    full_ms: int, review: ReviewPolicy, matched: bool
) -> None:
    terms = [term_of(full_ms, NOW, review, matched=matched, confirmed=n) for n in range(3)]
    for found in terms:
        assert NOW < found.until_ms <= found.full_until_ms == full_ms
        assert found.provisional == (found.review_by_ms is not None)
        assert found.until_ms == full_ms or found.until_ms == found.review_by_ms
        if review.two_person_permanent and full_ms >= PERMANENT_MS and found is not terms[2]:
            assert found.until_ms < PERMANENT_MS
    assert terms[1].strike_review_by_ms is terms[2].strike_review_by_ms is None
    assert terms[2] == Term(full_ms, full_ms)
    assert terms[1].until_ms <= terms[2].until_ms


# Severity.


def incident(category: str, reason: str, *signals: Signal, app: str = "live") -> Incident:
    verdict = Verdict(Action.CUT, 1, 0, category, VerdictReason(reason), 1.0, signals)
    return Incident("in1", "st1", Publish("test", "c", app, "s", "u42"), verdict, NOW)


@pytest.mark.parametrize(
    ("bank", "severity"),
    [(BankSeverity.CRITICAL, "severe"), (BankSeverity.HIGH, "normal"), (None, "normal")],
)
def test_severity_of_the_bank_that_matched(bank: BankSeverity | None, severity: str) -> None:
    match = Signal(SignalSource.MATCH, "known", 1, 0.9, 3, "e1", bank="b", severity=bank)
    detect = Signal(SignalSource.DETECT, "fight", 1, 0.9)
    assert sanction_of(Policy(), incident("known", "match", match, detect)).severity == severity
    # A bank's opinion on top does not make the detector's verdict heavier.
    assert sanction_of(Policy(), incident("fight", "detector", match)).severity is Severity.NORMAL


@pytest.mark.parametrize(
    ("reason", "banks", "vouched"),
    [
        ("match", ("known",), True),
        ("match", ("incidents",), False),
        ("match", ("incidents", "known"), True),
        ("match", (), True),
        ("detector", ("known",), False),
    ],
)
def test_footage_that_the_gate_banked_by_itself_weighs_as_the_detector_does(
    reason: str, banks: tuple[str, ...], vouched: bool
) -> None:
    signals = [Signal(SignalSource.MATCH, "known", 1, 0.9, 3, "e1", bank=bank) for bank in banks]
    found = incident("known", reason, *signals)
    assert by_vouched_footage(found.verdict) is vouched
    (block, *_) = make_violation(found, sanction_of(Policy(), found), (), NOW).blocks
    assert block.provisional is not vouched
    assert block.until_ms == NOW + (30 if vouched else 1) * DAY_MS
    assert block.full_until_ms == (None if vouched else NOW + 30 * DAY_MS)


def test_severity_and_ladder_of_the_app() -> None:
    policy = Policy(
        categories={"gore": CategoryPolicy(severity=Severity.SEVERE), "fight": CategoryPolicy()},
        apps={"kids": {"categories": {"fight": {"severity": "severe"}}, "ladder": {"steps_ms": [5000]}}},
    )
    assert sanction_of(policy, incident("gore", "detector")).severity is Severity.SEVERE
    assert sanction_of(policy, incident("fight", "detector")).severity is Severity.NORMAL
    kids = sanction_of(policy, incident("fight", "detector", app="kids"))
    assert (kids.severity, kids.ladder.steps_ms) == (Severity.SEVERE, (5000,))


def test_policies_stored_before_links_keep_their_meaning() -> None:
    assert LadderPolicy.model_validate({"block_address": True}).link == ("stream_key", "address")
    assert LadderPolicy.model_validate({"block_address": False}).link == ("stream_key",)
    with pytest.raises(ValueError, match="link"):
        LadderPolicy.model_validate({"link": ["shoe_size"]})
