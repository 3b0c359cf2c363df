"""Rules that combine witnesses, in media time."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.decide import Decider, Decision
from edge.domain import Action, ModelKind, Severity, Signal, SignalSource, Verdict
from edge.ladder import severity_of
from edge.policy import CategoryPolicy, Mode, Policy, explain_rule, parse_policy
from edge.reasons import VerdictReason

KINDS = {"gunfire": ModelKind.AUDIO, "scream": ModelKind.AUDIO, "firearm": ModelKind.FRAME}
GUNFIRE = CategoryPolicy(alone=Action.FLAG, raise_at=0.3, flag_at=0.66, cut_at=1.0)
SCREAM = GUNFIRE.model_copy(update={"alone": Action.PASS})


def policy(**values: Any) -> Policy:
    categories = {"gunfire": GUNFIRE, "firearm": GUNFIRE, "scream": SCREAM}
    return Policy(**{"mode": Mode.ENFORCE, "categories": categories} | values)


def heard(category: str, pts_ms: int, score: float) -> Signal:
    return Signal(SignalSource.DETECT, category, pts_ms, score, kind=KINDS[category])


def run(decider: Decider, *signals: Signal) -> list[Decision]:
    return [decider.decide([signal], signal.pts_ms) for signal in signals]


def test_gunfire_and_a_firearm_within_ten_seconds_are_cut_as_severe() -> None:
    decider = Decider(policy())
    first, second = run(decider, heard("gunfire", 1000, 0.9), heard("firearm", 11_000, 0.7))
    assert (first.action, first.reason) == (Action.FLAG, VerdictReason.DETECTOR)
    assert (second.action, second.reason) == (Action.CUT, VerdictReason.RULE)
    assert (second.rule, second.category) == ("gunfire-and-firearm", "gunfire")
    assert (second.score, second.begin_pts_ms) == (0.7, 1000)
    assert [(one.category, one.pts_ms) for one in second.signals] == [("gunfire", 1000), ("firearm", 11_000)]
    verdict = Verdict(Action.CUT, 11_000, -1, category="gunfire", rule=second.rule)
    assert severity_of(verdict, policy()) is Severity.SEVERE


def test_a_millisecond_later_they_are_two_flags() -> None:
    found = run(Decider(policy()), heard("gunfire", 1000, 0.9), heard("firearm", 11_001, 0.7))
    assert [one.action for one in found] == [Action.FLAG, Action.FLAG]


def test_lower_scores_need_the_third_witness() -> None:
    decider = Decider(policy())
    found = run(decider, heard("gunfire", 1000, 0.5), heard("firearm", 2000, 0.5), heard("scream", 3000, 0.5))
    assert [one.action for one in found] == [Action.PASS, Action.PASS, Action.CUT]
    assert found[-1].rule == "gunfire-scream-and-firearm"


def test_a_scream_alone_is_never_acted_on() -> None:
    assert {one.action for one in run(Decider(policy()), *(heard("scream", t, 1.0) for t in range(9)))} == {
        Action.PASS
    }


def test_audio_that_is_judged_late_still_counts() -> None:
    found = run(Decider(policy()), heard("firearm", 13_000, 0.9), heard("gunfire", 12_000, 0.9))
    assert found[-1].action is Action.CUT


def test_a_rule_that_flags_is_said_once_while_it_holds() -> None:
    rule = {"name": "both", "when": {"any": [{"category": "scream", "at_least": 0.5}]}, "then": "flag"}
    decider = Decider(policy(rules=[rule | {"within_ms": 1000}]))
    times = [0, 500, 1000, 9000]
    found = run(decider, *(heard("scream", t, 0.9) for t in times))
    assert [one.action for one in found] == [Action.FLAG, Action.PASS, Action.PASS, Action.FLAG]


def test_the_first_start_flags_only_in_shadow() -> None:
    decider = Decider(policy(mode=Mode.KNOWN_FOOTAGE))
    found = run(decider, heard("gunfire", 0, 0.9), heard("firearm", 100, 0.9), heard("firearm", 200, 0.9))
    assert all(one.shadow for one in found if one.action is not Action.PASS)
    assert [one.action for one in found].count(Action.CUT) == 1


def test_a_category_that_is_switched_off_is_no_witness() -> None:
    off = policy(categories={"gunfire": GUNFIRE.model_copy(update={"enabled": False}), "firearm": GUNFIRE})
    found = run(Decider(off), heard("gunfire", 0, 0.9), heard("firearm", 100, 0.9))
    assert [one.action for one in found] == [Action.PASS, Action.FLAG]


def test_new_rules_apply_to_what_was_seen() -> None:
    decider = Decider(policy(games=True))
    run(decider, heard("gunfire", 0, 0.9), heard("firearm", 100, 0.9))
    decider.set_policy(policy())
    assert run(decider, heard("gunfire", 200, 0.9), heard("firearm", 300, 0.9))[-1].action is Action.CUT


A = {"category": "a", "at_least": 0.1}
TIMED = st.lists(
    st.tuples(
        st.sampled_from(sorted(KINDS)),
        st.integers(0, 12_000),
        st.one_of(st.floats(0, 1), st.sampled_from([0.4, 0.6, 0.66, float("nan")])),
    ),
    max_size=12,
)


@given(TIMED)
def test_a_cut_is_exactly_where_witnesses_of_a_rule_are_near(found: list[tuple[str, int, float]]) -> None:
    signals, now = [], 0
    for category, after_ms, score in found:
        now += after_ms
        signals.append(heard(category, now, score))
    cut = any(one.action is Action.CUT for one in run(Decider(policy()), *signals))
    wanted = any(_near(signals, dict(each)) for each in _RULES)
    assert cut is wanted


_RULES = ({"gunfire": 0.66, "firearm": 0.6}, {"gunfire": 0.4, "scream": 0.4, "firearm": 0.4})


def _near(signals: list[Signal], needs: dict[str, float]) -> bool:
    seen = [[s.pts_ms for s in signals if s.category == name and s.score >= at] for name, at in needs.items()]
    return any(max(times) - min(times) <= 10_000 for times in product(*seen))


@given(TIMED, st.booleans())
def test_games_are_never_cut_by_audio(found: list[tuple[str, int, float]], bare: bool) -> None:
    """Not by the default rules, and not by one that forgets `not_in` or a category that cuts alone."""
    alone = {name: GUNFIRE.model_copy(update={"alone": Action.CUT, "cut_at": 0.7}) for name in KINDS}
    rules = [rule.model_copy(update={"not_in": ()}) for rule in Policy().rules] if bare else Policy().rules
    decider = Decider(policy(games=True, rules=rules, categories=alone))
    now = 0
    for category, after_ms, score in found:
        now += after_ms
        decision = decider.decide([heard(category, now, score)], now)
        if decision.action is Action.CUT:
            led = [one for one in decision.signals if one.score >= 0.7]
            assert decision.category == "firearm"
            assert {one.kind for one in led} == {ModelKind.FRAME}


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({}, "exactly one of any and all"),
        (
            {"any": [{"category": "a", "at_least": 0.1}], "all": [{"category": "a", "at_least": 0.1}]},
            "exactly",
        ),
        ({"all": [A, A]}, "named twice"),
        ({"all": [{"category": "a", "at_least": 2}]}, "at_least"),
    ],
)
def test_a_rule_says_what_it_needs(when: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Policy.model_validate({"rules": [{"name": "x", "when": when, "then": "cut"}]})


def test_rules_survive_the_way_through_json_and_overrides() -> None:
    whole = policy(apps={"games": {"games": True}})
    again = parse_policy(whole.model_dump_json())
    assert again == whole
    assert again.for_app("games").games
    assert not again.for_app("live").games
    assert again.for_app("games").rules == whole.rules


def test_rules_are_explained_in_words() -> None:
    assert explain_rule(Policy().rules[0]) == (
        "rule gunfire-and-firearm: gunfire from 0.66 and firearm from 0.6 within 10 s: cut, severe, urgent, "
        "holds media back for 5 s after the first, but not in games"
    )


def watermarks(decider: Decider, upto_ms: int, *signals: Signal) -> dict[int, int]:
    """The watermark after each sample, one a second. Signals come just before the sample of their time."""
    found = {}
    for pts_ms in range(0, upto_ms + 1, 1000):
        for signal in signals:
            if pts_ms - 1000 < signal.pts_ms <= pts_ms:
                decider.decide([signal], signal.pts_ms, clears=False)
        found[pts_ms] = decider.decide([], pts_ms).cleared_pts_ms
    return found


def test_after_the_first_witness_media_waits_for_the_second() -> None:
    found = watermarks(Decider(policy()), 12_000, heard("gunfire", 3000, 0.9))
    assert [found[at] for at in (2000, 3000, 7000, 8000, 12_000)] == [2000, 2000, 2000, 8000, 12_000]


def test_nothing_that_waited_is_shown_once_both_are_there() -> None:
    found = watermarks(Decider(policy()), 60_000, heard("firearm", 3000, 0.9), heard("gunfire", 7500, 0.9))
    assert found[60_000] == 2000


def test_a_rule_waits_once_for_as_long_as_a_witness_goes_on() -> None:
    volleys = [heard("gunfire", at, 0.9) for at in range(3000, 60_000, 9000)]
    found = watermarks(Decider(policy()), 60_000, *volleys)
    assert [at for at, cleared in found.items() if cleared < at] == [3000, 4000, 5000, 6000, 7000]
    anew = watermarks(Decider(policy()), 30_000, heard("gunfire", 3000, 0.9), heard("gunfire", 20_000, 0.9))
    assert [at for at, cleared in anew.items() if cleared < at] == [
        *range(3000, 8000, 1000),
        *range(20_000, 25_000, 1000),
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"games": True},
        {"mode": Mode.KNOWN_FOOTAGE},
        {"rules": ()},
        {"categories": {"gunfire": GUNFIRE}},
        {"rules": [Policy().rules[0].model_copy(update={"hold_ms": 0})]},
    ],
)
def test_nothing_waits_for_what_cannot_come_or_cannot_cut(values: dict[str, Any]) -> None:
    found = watermarks(Decider(policy(**values)), 9000, heard("gunfire", 3000, 0.9))
    assert all(cleared == at for at, cleared in found.items())


@given(TIMED, st.integers(0, 10_000))
def test_waiting_is_bounded_and_what_is_cut_later_within_it_was_held(
    found: list[tuple[str, int, float]], hold_ms: int
) -> None:
    rule = Policy().rules[0].model_copy(update={"hold_ms": hold_ms})
    decider = Decider(policy(rules=[rule]))
    now, witness_ms, waits_since_ms = 0, -math.inf, None
    for category, after_ms, score in found:
        now += after_ms
        before_ms = decider.cleared_pts_ms
        decision = decider.decide([heard(category, now, score)], now)
        if now - witness_ms > rule.within_ms:
            waits_since_ms = None
        if score >= {"gunfire": 0.66, "firearm": 0.6}.get(category, 2.0):
            witness_ms = now
            waits_since_ms = now if waits_since_ms is None else waits_since_ms
        if decision.action is Action.CUT:
            assert decision.cleared_pts_ms == before_ms
            return
        held = waits_since_ms is not None and now - waits_since_ms < hold_ms
        assert decision.cleared_pts_ms == (before_ms if held else now)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"then": "flag", "when": {"all": [A, A | {"category": "b"}]}}, "and then cut"),
        ({"then": "cut", "when": {"any": [A, A | {"category": "b"}]}}, "several witnesses"),
        ({"then": "cut", "when": {"all": [A]}}, "several witnesses"),
        ({"then": "cut", "when": {"all": [A, A | {"category": "b"}]}, "within_ms": 4999}, "within_ms"),
    ],
)
def test_only_a_rule_whose_witnesses_are_still_to_come_holds(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Policy.model_validate({"rules": [{"name": "x", "hold_ms": 5000} | values]})
