"""Tiers, decisions and cuts over made-up tracks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Action, Tier
from edge.policy import BeliefPolicy, CategoryPolicy, TierPolicy
from edge.tuning.labels import Truth
from edge.tuning.outcome import ViolentEvent, outcome
from edge.tuning.simulate import SimulatedDecision, Simulator, Tiering, decisions_of
from edge.tuning.study import Study
from tests.tuning.conftest import footage, manifest, track

BELIEF = BeliefPolicy(neutral_ms=100, neutral=-1.0, fade_ms=1000)
TIERING = Tiering(0.5, 0.4, 0.8, BELIEF)


def tiers(simulator: Simulator, scores: list[float], jumps: tuple[int, ...] = ()) -> list[tuple[int, Tier]]:
    trace = simulator.trace(track(scores, jumps=jumps), TIERING)
    return [(step.pts_ms, step.tier) for step in trace.steps]


def test_a_stream_begins_alert_and_is_calm_when_nothing_is_there(simulator: Simulator) -> None:
    found = tiers(simulator, [0.1] * 20)
    assert found == [
        *((pts, Tier.ALERT) for pts in (0, 200, 400, 600, 800)),
        *((pts, Tier.CALM) for pts in (1000, 2000, 3000)),
    ]


def test_a_calm_sample_that_raises_is_followed_by_dense_ones(simulator: Simulator) -> None:
    found = tiers(simulator, [*[0.1] * 10, *[0.9] * 3, *[0.1] * 17])
    assert (2000, Tier.CALM) in found
    dense = [pts for pts, tier in found if tier is Tier.ALERT and pts > 1000]
    # The window of one second keeps the score up past the last high sample. Then alert ends.
    assert dense[0] == 2200
    assert 2800 <= dense[-1] <= 3400
    assert found[-1][1] is Tier.CALM


def test_what_lies_between_calm_samples_is_not_seen(simulator: Simulator) -> None:
    found = tiers(simulator, [*[0.1] * 11, *[0.99] * 3, *[0.1] * 16])
    assert all(tier is Tier.CALM for pts, tier in found if pts >= 1000)


def test_a_jump_of_the_bitrate_is_looked_at(simulator: Simulator) -> None:
    found = tiers(simulator, [0.1] * 20, jumps=(2100,))
    assert [pts for pts, tier in found if tier is Tier.ALERT and pts >= 1000] == [
        2200,
        2400,
        2600,
        2800,
        3000,
    ]


def test_the_window_starts_anew_with_the_alert_tier(simulator: Simulator) -> None:
    trace = simulator.trace(track([*[0.1] * 10, *[0.9] * 10]), TIERING)
    first = next(step for step in trace.steps if step.pts_ms == 2200)
    assert first.tier is Tier.ALERT
    assert abs(first.signals[0].score - 0.9) < 1e-6  # Not the mean with earlier calm samples.


PART = CategoryPolicy(raise_at=0.5, release_at=0.4, flag_at=0.6, cut_at=0.8, belief=BELIEF)


def test_acts_end_with_the_cut(simulator: Simulator) -> None:
    steps = simulator.dense(track([*[0.1] * 3, *[0.99] * 12]))
    found = decisions_of(steps, simulator.policy(PART))
    assert [act.action for act in found] == [Action.FLAG, Action.CUT]
    assert found[0].until_ms == found[1].pts_ms
    assert found[1].in_episode


def test_a_false_cut_begins_a_new_stream(simulator: Simulator) -> None:
    study = Study(simulator, [(footage("a", False), track([0.95] * 30))])
    found = study.outcome(0, PART)
    assert found.false_cuts == 10  # Each third sample of each new stream cuts it: two are warm-up.
    assert found.false_flags == 10
    assert found.calm_ms == 6000


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5), st.floats(0.1, 0.9))
def test_a_file_that_ends_while_it_is_new_is_judged_once_for_all(scores: list[float], flag_at: float) -> None:
    simulator = Simulator(manifest(), "fight", TierPolicy(start_alert_ms=1000))
    one = track(scores, calm_every=2)
    tiering = Tiering(flag_at / 2, flag_at / 4, flag_at, BELIEF)
    study = Study(simulator, [(footage("a", True), one)])
    assert simulator.is_new_throughout(one)
    assert study.trace(0, tiering) == simulator.trace(one, tiering)
    assert not simulator.is_new_throughout(track([0.5] * 6))


def test_outcomes_by_labels() -> None:
    truth = Truth(violent=((1000, 2000),), calm=((0, 1000), (2500, 9000)))
    done = [
        SimulatedDecision(Action.FLAG, 500, 1200, in_episode=False),
        SimulatedDecision(Action.CUT, 2300, 2300, in_episode=False),
        SimulatedDecision(Action.FLAG, 2600, 2800, in_episode=False),
        SimulatedDecision(Action.CUT, 2800, 2800, in_episode=True),
        SimulatedDecision(Action.CUT, 8000, 8000, in_episode=False),
    ]
    found = outcome("g", truth, done, 500, 0, 9000)
    # The episode of the first flag extends into the violence. The cut comes within the grace.
    assert found.events == (ViolentEvent(0, 1300),)
    assert (found.false_flags, found.false_cuts, found.calm_ms) == (3, 2, 7500)
    assert outcome("g", truth, done[4:], 500, 0, 9000).events == (ViolentEvent(None, None),)
