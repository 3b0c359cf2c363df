"""Which evidence goes, over years of simulated time: by age, over a quota, on request, and never on hold."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from edge.evidence.settings import EvidenceSection
from edge.retention import ErasedWhy, EvidenceAge, HeldEvidence, RetentionRules, plan_erasures

DAY_MS = 86_400_000
NOW = 1_700_000_000_000

HELD = st.lists(
    st.builds(
        HeldEvidence,
        incident_id=st.uuids().map(str),
        age=st.sampled_from(EvidenceAge),
        since_ms=st.integers(0, 800).map(lambda days: NOW - days * DAY_MS),
        bytes=st.none() | st.integers(0, 1000),
        on_hold=st.booleans(),
        appeal_open=st.booleans(),
        erase_asked=st.booleans(),
    ),
    max_size=30,
)
RULES = st.builds(
    RetentionRules,
    keep_ms=st.dictionaries(st.sampled_from(EvidenceAge), st.integers(1, 500).map(lambda d: d * DAY_MS)),
    quota_bytes=st.none() | st.integers(1, 10_000),
)


@given(HELD, RULES)
def test_what_goes_and_what_stays(held: list[HeldEvidence], rules: RetentionRules) -> None:
    plan = plan_erasures(held, rules, NOW)
    why = {each.incident_id: reason for each, reason in plan.erasures}
    assert len(why) == len(plan.erasures), "nothing goes twice"
    left = [each for each in held if each.incident_id not in why]
    for each in held:
        reason = why.get(each.incident_id)
        old = NOW - each.since_ms > rules.keep_ms.get(each.age, 10**15)
        if each.on_hold:
            assert reason is None
        elif each.erase_asked:
            assert reason is ErasedWhy.REQUEST
        elif each.appeal_open:
            assert reason is None
        elif old:
            assert reason is ErasedWhy.AGE
        elif reason is not None:
            assert reason is ErasedWhy.QUOTA
            assert each.age is not EvidenceAge.OPEN, "what nobody has reviewed is not lost for space"
    total = sum(each.bytes or 0 for each in left)
    if rules.quota_bytes is None:
        assert ErasedWhy.QUOTA not in why.values()
        assert plan.over_bytes == 0
    else:
        assert plan.over_bytes == max(0, total - rules.quota_bytes)
        for_space = [each for each, reason in plan.erasures if reason is ErasedWhy.QUOTA]
        if for_space:
            newest = max(for_space, key=lambda each: (each.since_ms, each.incident_id))
            assert total + (newest.bytes or 0) > rules.quota_bytes, "no more goes than has to"
            for each in left:
                if each.bytes and each.age is not EvidenceAge.OPEN and not (each.on_hold or each.appeal_open):
                    assert each.since_ms >= newest.since_ms, "the oldest decision goes first"
        if plan.over_bytes:
            assert all(
                each.on_hold or each.appeal_open or each.age is EvidenceAge.OPEN or not each.bytes
                for each in left
            )


@given(HELD, RULES)
def test_a_plan_that_is_carried_out_leaves_nothing_to_do(
    held: list[HeldEvidence], rules: RetentionRules
) -> None:
    gone = {each.incident_id for each, _ in plan_erasures(held, rules, NOW).erasures}
    left = [each for each in held if each.incident_id not in gone]
    assert plan_erasures(left, rules, NOW).erasures == ()


@given(HELD, RULES, st.integers(0, 1000))
def test_time_only_lets_more_go(held: list[HeldEvidence], rules: RetentionRules, days: int) -> None:
    by_age = dataclasses.replace(rules, quota_bytes=None)
    now = {each.incident_id for each, _ in plan_erasures(held, by_age, NOW).erasures}
    later = {each.incident_id for each, _ in plan_erasures(held, by_age, NOW + days * DAY_MS).erasures}
    assert now <= later


def test_the_settings_say_days_and_megabytes() -> None:
    rules = EvidenceSection(keep_days_open=0, keep_days_overturned=7, quota_mb=3).rules
    assert EvidenceAge.OPEN not in rules.keep_ms, "0: for ever"
    assert rules.keep_ms[EvidenceAge.OVERTURNED] == 7 * DAY_MS
    assert rules.quota_bytes == 3 * 2**20
    assert EvidenceSection().rules.quota_bytes is None
