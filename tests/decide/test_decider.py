"""Persistence, hysteresis and the watermark, and the replay of decisions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide import Decider, Decision
from edge.domain import Action, ModelKind, Signal, SignalSource
from edge.policy import CategoryPolicy, MatchPolicy, Mode, Policy

FIGHT = CategoryPolicy(raise_at=0.2, flag_at=0.5, cut_at=0.85, release_at=0.15)


def policy(**changes: object) -> Policy:
    return Policy.model_validate({"categories": {"fight": FIGHT}, "mode": Mode.ENFORCE, **changes})


def detect(score: float, pts_ms: int, category: str = "fight") -> Signal:
    """A score that counts as it is: that of no window."""
    return Signal(SignalSource.DETECT, category, pts_ms, score)


def match(pts_ms: int, entry: str = "e1", at_most: Action = Action.CUT) -> Signal:
    return Signal(SignalSource.MATCH, "known", pts_ms, 0.95, distance=12, entry=entry, at_most=at_most)


def run(decider: Decider, scores: list[float], step_ms: int = 200, start_ms: int = 0) -> list[Decision]:
    return [
        decider.decide((detect(score, start_ms + i * step_ms),), start_ms + i * step_ms)
        for i, score in enumerate(scores)
    ]


def actions(decisions: list[Decision]) -> str:
    return "".join(d.action.value[0] for d in decisions)


def test_one_flag_an_episode() -> None:
    scores = [0.6, 0.6, 0.6, 0.3, 0.6, 0.6, 0.1, 0.6, 0.6]
    assert actions(run(Decider(policy()), scores)) == "fppppppfp"


def test_cut_once() -> None:
    assert actions(run(Decider(policy()), [0.6, 0.9, 0.9, 0.9])) == "fcpp"


def test_what_can_only_flag_holds_nothing_back() -> None:
    flags = FIGHT.model_copy(update={"alone": Action.FLAG})
    found = run(Decider(policy(categories={"fight": flags})), [0.9] * 6)
    assert actions(found) == "fppppp"
    assert [one.cleared_pts_ms for one in found] == [one.pts_ms for one in found]
    assert all(one.suspicious for one in found)
    holds = run(Decider(policy()), [0.1, 0.3, 0.3])
    assert [one.cleared_pts_ms for one in holds] == [0, 0, 0]


@pytest.mark.parametrize("games", [False, True])
def test_audio_that_never_cuts_in_games_holds_nothing_back_there(games: bool) -> None:
    decider = Decider(policy(games=games, categories={"gunfire": FIGHT}))
    heard = [
        replace(detect(0.6 if at == 0 else 0.9, at, "gunfire"), kind=ModelKind.AUDIO)
        for at in range(0, 1200, 200)
    ]
    found = [decider.decide((signal,), signal.pts_ms) for signal in heard]
    assert actions(found) == ("fppppp" if games else "fcpppp")
    assert found[-1].cleared_pts_ms == (1000 if games else -1)


def test_the_policy_says_what_is_urgent() -> None:
    urgent = FIGHT.model_copy(update={"urgent": True})
    found = run(Decider(policy(categories={"fight": urgent})), [0.1, 0.6, 0.6, 0.9, 0.9])
    assert [one.urgent for one in found] == [False, True, False, True, False]
    assert not any(one.urgent for one in run(Decider(policy()), [0.9] * 6))
    known = Decider(policy(categories={"known": urgent}, match=MatchPolicy(k=1)))
    assert not known.decide((match(0),), 0, near_match=True).urgent


def test_cut_carries_the_signal_that_led_to_it() -> None:
    cut = run(Decider(policy()), [0.6, 0.99])[-1]
    assert (cut.action, cut.category, cut.reason, cut.score) == (Action.CUT, "fight", "detector", 0.99)
    assert [s.score for s in cut.signals] == [0.99]


def window(score: float, pts_ms: int, samples: int = 10) -> Signal:
    return Signal(SignalSource.DETECT, "fight", pts_ms, score, samples=samples, detail=f"{samples} samples")


def run_windows(
    decider: Decider, scores: list[float], samples: int = 10, start_ms: int = 0
) -> list[Decision]:
    return [
        decider.decide((window(score, start_ms + i * 200, samples),), start_ms + i * 200)
        for i, score in enumerate(scores)
    ]


def test_windows_in_warm_up_raise_and_never_act() -> None:
    decider = Decider(policy())
    decisions = run_windows(decider, [0.99] * 50, samples=2)
    assert set(actions(decisions)) == {"p"}
    assert all(d.suspicious for d in decisions)
    assert [d.cleared_pts_ms for d in decisions] == [-1] * 50
    anything = {"fight": {"release_at": 0, "raise_at": 0, "flag_at": 0, "cut_at": 0}}
    assert set(actions(run_windows(Decider(policy(categories=anything)), [0.99] * 9, samples=2))) == {"p"}


def test_one_high_window_is_no_ground_for_anything_and_seconds_of_them_are() -> None:
    once = run_windows(Decider(policy()), [*[0.05] * 10, 0.99, *[0.05] * 10])
    assert set(actions(once)) == {"p"}
    decisions = run_windows(Decider(policy()), [*[0.05] * 10, *[0.98] * 15], start_ms=1000)
    flag, cut = (next(d for d in decisions if d.action is action) for action in (Action.FLAG, Action.CUT))
    assert 3000 < flag.pts_ms < cut.pts_ms < 5000
    for verdict in (flag, cut):
        assert verdict.begin_pts_ms == 2801
        [led] = verdict.signals
        assert led.score == verdict.score
        assert led.begin_pts_ms == 2801
    windows = (cut.pts_ms - 3000) // 200 + 1
    span = f"belief of {windows} windows in {(cut.pts_ms - 2801) / 1000:.1f} s"
    assert cut.signals[0].detail == f"{span}; the newest: 0.980 of 10 samples"


def test_more_samples_than_the_warm_up_count_alike_and_time_does_the_rest() -> None:
    few, many = (run_windows(Decider(policy()), [0.98] * 9, samples=count) for count in (3, 10))
    assert [d.score for d in few] == [d.score for d in many]


def test_a_gap_lets_a_belief_fade_and_a_time_that_goes_back_ends_it() -> None:
    decider = Decider(policy())
    believed = run_windows(decider, [0.9] * 8)[-1].score
    faded = decider.decide((window(0.5, 9_400, samples=1),), 9_400).score
    assert Decider(policy()).decide((window(0.5, 0, samples=1),), 0).score < faded < believed
    assert decider.decide((window(0.9, 100),), 100).score < faded


def test_an_episode_lasts_until_the_belief_is_low_too() -> None:
    """A window that says little does not end what was flagged, or each dip would be another FLAG."""
    decisions = run_windows(Decider(policy()), [*[0.97] * 6, 0.05, *[0.97] * 3, *[0.02] * 30, *[0.97] * 6])
    assert actions(decisions[:10]).count("f") == 1
    assert decisions[6].suspicious
    assert not decisions[38].suspicious
    assert actions(decisions).count("f") == 2


def test_a_match_rests_on_all_samples_that_voted_for_it() -> None:
    voted = replace(match(5000), begin_pts_ms=3800)
    assert Decider(policy()).decide((voted,), 5000, near_match=True).begin_pts_ms == 3800
    flags = policy(match=MatchPolicy(action=Action.FLAG))
    assert Decider(flags).decide((voted,), 5000, near_match=True).begin_pts_ms == 3800


def test_watermark_stops_before_a_raised_sample_and_moves_on_when_it_is_resolved() -> None:
    decisions = run(Decider(policy()), [0.1, 0.1, 0.3, 0.18, 0.14, 0.1])
    assert [d.cleared_pts_ms for d in decisions] == [0, 200, 200, 200, 800, 1000]
    assert [d.suspicious for d in decisions] == [False, False, True, True, False, False]


def test_watermark_never_passes_what_is_cut() -> None:
    decisions = run(Decider(policy()), [0.1, 0.3, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0])
    assert decisions[-1].cleared_pts_ms == 0


def test_watermark_is_not_led_back_by_late_samples() -> None:
    decider = Decider(policy())
    decider.decide((detect(0.0, 500),), 500)
    assert decider.decide((detect(0.0, 300),), 300).cleared_pts_ms == 500


def test_near_match_holds_the_watermark_and_asks_for_alert() -> None:
    decider = Decider(policy())
    decider.decide((), 0)
    near = decider.decide((), 200, near_match=True)
    assert (near.cleared_pts_ms, near.suspicious, near.action) == (0, True, Action.PASS)
    assert decider.decide((), 400).cleared_pts_ms == 400


def test_counted_match_cuts_once() -> None:
    decider = Decider(policy())
    first = decider.decide((match(200),), 200, near_match=True)
    assert (first.action, first.category, first.reason) == (Action.CUT, "known", "match")
    assert decider.decide((match(400),), 400, near_match=True).action is Action.PASS


@pytest.mark.parametrize("asked", [Action.FLAG, Action.PASS])
def test_match_asks_for_what_the_policy_says(asked: Action) -> None:
    decider = Decider(policy(match=MatchPolicy(action=asked)))
    assert decider.decide((match(0),), 0, near_match=True).action is asked
    assert decider.decide((match(200),), 200, near_match=True).action is Action.PASS
    # The policy can never cut, so nothing has to be held back.
    assert decider.cleared_pts_ms == 200


def test_entry_that_may_only_flag_does_not_cut() -> None:
    decider = Decider(policy())
    found = match(0, at_most=Action.FLAG)
    assert decider.decide((found,), 0, near_match=True).action is Action.FLAG


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.booleans(), st.floats(0, 1), st.sampled_from(list(Action)))
    )
)
def test_footage_that_is_only_counted_changes_no_decision(
    samples: list[tuple[bool, bool, bool, float, Action]],
) -> None:
    settings = policy(match=MatchPolicy(sound_action=Action.FLAG))
    plain, counting = Decider(settings), Decider(settings)
    for n, (counted, heard, near, score, at_most) in enumerate(samples):
        at_ms = n * 200
        acts = near and at_most is not Action.PASS
        signals = (detect(score, at_ms), *((match(at_ms, at_most=at_most),) if acts else ()))
        lent = match(at_ms, entry="lent", at_most=Action.PASS)
        more = ((lent,) if counted else ()) + ((replace(lent, source=SignalSource.AUDIO),) if heard else ())
        expected = plain.decide(signals, at_ms, near_match=acts)
        found = counting.decide((*more, *signals), at_ms, near_match=acts)
        assert [s for s in found.signals if s.at_most is not Action.PASS] == list(expected.signals)
        assert replace(found, signals=()) == replace(expected, signals=())
        assert set(more) <= set(found.signals)


def test_words_for_people_decide_nothing() -> None:
    decider = Decider(policy())
    found = replace(match(0), detail="bank=b hits=3/5 at_most=flag")
    assert decider.decide((found,), 0, near_match=True).action is Action.CUT


def test_matching_switched_off_decides_nothing() -> None:
    decider = Decider(policy(match=MatchPolicy(enabled=False)))
    decision = decider.decide((match(0),), 0, near_match=True)
    assert (decision.action, decision.suspicious, decision.cleared_pts_ms) == (Action.PASS, False, 0)


def test_shadow_decides_the_same_and_holds_nothing() -> None:
    scores = [0.1, 0.6, 0.9, 0.9, 0.9, 0.9]
    acting, shadow = run(Decider(policy()), scores), run(Decider(policy(mode=Mode.SHADOW)), scores)
    assert actions(acting) == actions(shadow)
    assert all(d.shadow for d in shadow)
    assert not any(d.shadow for d in acting)
    assert [d.cleared_pts_ms for d in shadow] == [d.pts_ms for d in shadow]


def test_the_detector_in_shadow_never_keeps_known_footage_from_being_cut() -> None:
    decider = Decider(policy(mode=Mode.KNOWN_FOOTAGE))
    withheld = run(decider, [0.6, *[0.9] * 5])
    assert actions(withheld) == "fcpppp"
    assert all(d.shadow for d in withheld if d.action is not Action.PASS)
    assert [d.cleared_pts_ms for d in withheld] == [d.pts_ms for d in withheld], "shadow holds nothing back"
    both = decider.decide((detect(0.9, 1200), match(1200)), 1200, near_match=True)
    assert (both.action, both.reason, both.shadow) == (Action.CUT, "match", False)
    assert both.cleared_pts_ms == 1000
    assert actions(run(decider, [0.1, 0.9, 0.9, 0.9], start_ms=1400)) == "pppp"


def test_known_footage_is_cut_before_the_detector_says_in_shadow_what_it_would_cut() -> None:
    decider = Decider(policy(mode=Mode.KNOWN_FOOTAGE))
    run(decider, [0.6, 0.6])
    at_once = decider.decide((detect(0.9, 400), match(400)), 400, near_match=True)
    assert (at_once.action, at_once.reason, at_once.shadow) == (Action.CUT, "match", False)


def test_known_footage_holds_the_watermark_and_the_detector_in_shadow_does_not() -> None:
    decider = Decider(policy(mode=Mode.KNOWN_FOOTAGE))
    assert [d.cleared_pts_ms for d in run(decider, [0.3, 0.3])] == [0, 200]
    assert decider.decide((detect(0.3, 400),), 400, near_match=True).cleared_pts_ms == 200


def test_shadow_says_each_episode_that_it_would_cut() -> None:
    scores = [0.6, 0.9, 0.9, 0.1, 0.6, 0.9, 0.9]
    assert actions(run(Decider(policy(mode=Mode.SHADOW)), scores)) == "fcppfcp"


def test_what_goes_on_after_its_flag_is_said_with_each_sample() -> None:
    decisions = run(Decider(policy()), [0.6, 0.6, 0.7, 0.3, 0.1, 0.6, 0.6, 0.6])
    assert actions(decisions) == "fppppfpp"
    assert [[s.score for s in d.going_on] for d in decisions] == [
        *([], [0.6], [0.7], [0.3]),
        *([], [], [0.6], [0.6]),
    ]


def test_known_audio_and_footage_that_only_flag_go_on() -> None:
    decider = Decider(policy())
    heard = [decider.decide((sound(t),), t).going_on for t in range(3)]
    assert [len(each) for each in heard] == [0, 1, 1]
    seen = [
        decider.decide((match(t, at_most=Action.FLAG),), t, near_match=True).going_on for t in range(3, 6)
    ]
    assert [len(each) for each in seen] == [0, 1, 1]


def test_a_score_that_is_no_number_holds_and_does_not_cut() -> None:
    decisions = run(Decider(policy()), [0.1] + [math.nan] * 6)
    assert actions(decisions) == "ppppppp"
    assert decisions[-1].cleared_pts_ms == 0


def test_category_without_policy_decides_nothing() -> None:
    decider = Decider(policy())
    for pts in range(0, 2000, 200):
        decision = decider.decide((detect(1.0, pts, "unheard_of"),), pts)
        assert decision.action is Action.PASS
        assert decision.signals


def test_new_policy_keeps_what_was_seen() -> None:
    decider = Decider(policy())
    believed = run_windows(decider, [0.9] * 8)
    assert actions(believed).count("f") == 1
    assert "c" not in actions(believed)
    stricter = policy(categories={"fight": FIGHT.model_copy(update={"cut_at": 0.7})})
    decider.set_policy(stricter)
    assert decider.decide((window(0.9, 1600),), 1600).action is Action.CUT


@pytest.mark.parametrize("signal", [detect(0.95, 0), match(0)], ids=["detector", "match"])
def test_what_shadow_mode_found_is_acted_on_once_the_policy_acts(signal: Signal) -> None:
    decider = Decider(policy(mode=Mode.SHADOW))
    found = [
        decider.decide((replace(signal, pts_ms=pts),), pts, near_match=True) for pts in range(0, 2000, 200)
    ]
    assert Action.CUT in {decision.action for decision in found}
    decider.set_policy(policy())
    decision = decider.decide((replace(signal, pts_ms=2000),), 2000, near_match=True)
    assert decision.action is Action.CUT
    assert not decision.shadow
    # A violation is acted on once.
    decider.set_policy(policy(mode=Mode.SHADOW))
    decider.set_policy(policy())
    assert decider.decide((replace(signal, pts_ms=2200),), 2200, near_match=True).action is Action.PASS


samples = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.14, 0.15, 0.2, 0.49, 0.5, 0.84, 0.85, 1.0, math.nan]),
        st.integers(1, 2500),
        st.booleans(),
        st.booleans(),
    ),
    max_size=80,
)


def play(
    decider: Decider, case: list[tuple[float, int, bool, bool]], *, gathered: bool = False
) -> list[Decision]:
    now, decisions = 0, []
    for score, step, near, counted in case:
        now += step
        one = window(score, now, samples=step % 7) if gathered else detect(score, now)
        signals = (one, *((match(now),) if near and counted else ()))
        decisions.append(decider.decide(signals, now, near_match=near))
    return decisions


@given(samples, st.sampled_from(list(Mode)))
def test_replay_gives_the_same(case: list[tuple[float, int, bool, bool]], mode: Mode) -> None:
    case = [(s if s == s else 1.0, *rest) for s, *rest in case]  # type: ignore[misc]
    assert play(Decider(policy(mode=mode)), case) == play(Decider(policy(mode=mode)), case)


@given(samples, st.booleans())
def test_watermark_rules(case: list[tuple[float, int, bool, bool]], gathered: bool) -> None:
    decisions = play(Decider(policy()), case, gathered=gathered)
    cuts = [i for i, d in enumerate(decisions) if d.action is Action.CUT]
    assert len(cuts) <= 1
    clear = -1
    for i, decision in enumerate(decisions):
        if not decision.suspicious and not (cuts and i >= cuts[0]):
            clear = decision.pts_ms
        assert decision.cleared_pts_ms == clear
    if cuts:
        # Nothing that led to the cut was passed. It is held back from the first suspicious sample on.
        cut = decisions[cuts[0]]
        led = cut.signals[0].pts_ms if cut.begin_pts_ms is None else cut.begin_pts_ms
        assert decisions[-1].cleared_pts_ms < led


@given(samples)
def test_the_detector_in_shadow_changes_nothing_of_known_footage(
    case: list[tuple[float, int, bool, bool]],
) -> None:
    quiet = [(0.0, *rest) for _, *rest in case]
    both = play(Decider(policy(mode=Mode.KNOWN_FOOTAGE)), case)
    alone = play(Decider(policy(mode=Mode.KNOWN_FOOTAGE)), quiet)  # type: ignore[arg-type]
    assert [d.cleared_pts_ms for d in both] == [d.cleared_pts_ms for d in alone]
    cuts = [[i for i, d in enumerate(ds) if d.action is Action.CUT and not d.shadow] for ds in (both, alone)]
    assert cuts[0] == cuts[1]
    assert all(d.reason == "match" for d in both if d.action is not Action.PASS and not d.shadow)


@given(samples)
def test_at_most_one_flag_an_episode(case: list[tuple[float, int, bool, bool]]) -> None:
    detected = [(score, step, False, False) for score, step, _, _ in case]
    flagged = False
    for (score, *_), decision in zip(detected, play(Decider(policy()), detected), strict=True):
        if score < FIGHT.release_at:
            flagged = False
        if decision.action is Action.FLAG:
            assert not flagged
            flagged = True


def sound(pts_ms: int, entry: str = "e1", at_most: Action = Action.CUT) -> Signal:
    return Signal(SignalSource.AUDIO, "known", pts_ms, 0.95, entry=entry, at_most=at_most)


def test_known_audio_asks_for_a_person_once_an_entry() -> None:
    decider = Decider(policy())
    decisions = [decider.decide((sound(t, entry),), t) for t, entry in enumerate(("a", "a", "b", "a"))]
    assert actions(decisions) == "fpfp"
    assert [d.reason for d in decisions] == ["sound", "", "sound", ""]
    assert decisions[0].signals[0].entry == "a"
    assert [d.cleared_pts_ms for d in decisions] == [0, 1, 2, 3], "a person is asked, nothing is frozen"


@pytest.mark.parametrize(
    ("asked", "at_most", "done"),
    [
        ("cut", Action.CUT, "c"),
        ("cut", Action.FLAG, "f"),
        ("pass", Action.CUT, "p"),
        ("flag", Action.CUT, "f"),
    ],
)
def test_the_policy_says_what_known_audio_asks_for(asked: str, at_most: Action, done: str) -> None:
    decider = Decider(policy(match={"sound_action": asked}))
    assert actions([decider.decide((sound(0, at_most=at_most),), 0)]) == done
    off = Decider(policy(match={"sound_action": asked, "enabled": False}))
    assert actions([off.decide((sound(0, at_most=at_most),), 0)]) == "p"


def test_a_flag_for_audio_does_not_take_the_place_of_the_cut_for_the_frame() -> None:
    decider = Decider(policy())
    assert actions([decider.decide((sound(0),), 0), decider.decide((match(1),), 1, near_match=True)]) == "fc"
