"""Alert starts at once. It ends soon if nothing is found, is held while raised, and yields if voluntary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.decide import Suspicion
from edge.domain import Tier
from edge.policy import TierPolicy
from edge.stream import TierState

CALM = TierPolicy(start_alert_ms=0, probe_ms=350, alert_hold_ms=6000)


def test_a_new_stream_starts_in_alert_for_a_while_if_there_is_time() -> None:
    state = TierState(TierPolicy(start_alert_ms=3000))
    assert state.at(10_000, keyframe=True) is Tier.ALERT
    assert state.opportunistic
    assert state.at(12_999) is Tier.ALERT
    assert state.at(13_000) is Tier.CALM


def test_a_stream_that_was_calm_elsewhere_is_not_new() -> None:
    state = TierState(TierPolicy(start_alert_ms=3000), calm=True)
    assert not state.starting
    assert state.at(10_000, keyframe=True) is Tier.CALM
    assert state.observe(10_200, Suspicion.STANDING) is Tier.ALERT


def test_start_gives_way_until_the_next_keyframe() -> None:
    state = TierState(TierPolicy(start_alert_ms=3000))
    state.at(0, keyframe=True)
    state.preempt()
    assert state.at(400) is Tier.CALM
    assert state.at(1000, keyframe=True) is Tier.ALERT


def test_a_raised_sample_is_looked_at_closely_and_no_longer() -> None:
    state = TierState(CALM)
    assert state.at(0, keyframe=True) is Tier.CALM
    assert state.observe(200, Suspicion.RAISED) is Tier.ALERT
    assert not state.opportunistic
    assert state.observe(400, Suspicion.NONE) is Tier.ALERT
    assert state.at(550) is Tier.CALM


def test_the_look_goes_on_while_it_is_raised() -> None:
    state = TierState(CALM)
    for pts in range(200, 3000, 200):
        assert state.observe(pts, Suspicion.RAISED) is Tier.ALERT
    assert state.at(2800 + 350) is Tier.CALM


def test_a_lost_sample_does_not_end_the_look_and_many_do() -> None:
    state = TierState(CALM)
    state.observe(200, Suspicion.RAISED)
    last = 200 + CALM.blind_limit_ms
    for pts in (*range(400, last, 200), last):
        assert state.at(pts) is Tier.ALERT
        state.unjudged(pts)
    assert state.at(last + 349) is Tier.ALERT
    state.unjudged(last + 300)
    assert state.at(last + 350) is Tier.CALM


def test_a_lost_sample_begins_no_alert() -> None:
    state = TierState(CALM)
    state.observe(200, Suspicion.NONE)
    state.unjudged(400)
    assert state.at(401) is Tier.CALM


def test_what_stands_is_held() -> None:
    state = TierState(CALM)
    assert state.observe(2000, Suspicion.STANDING) is Tier.ALERT
    assert state.observe(2200, Suspicion.NONE) is Tier.ALERT
    assert state.at(7999) is Tier.ALERT
    assert state.at(8000) is Tier.CALM


def test_a_look_reaches_the_next_sample_however_far_they_are_apart() -> None:
    state = TierState(TierPolicy(start_alert_ms=0, probe_ms=50, alert_interval_ms=1000))
    state.observe(0, Suspicion.RAISED)
    assert state.at(1000) is Tier.ALERT


def test_asked_for_alert_is_held() -> None:
    state = TierState(TierPolicy(start_alert_ms=0, alert_hold_ms=500), alert=True)
    assert state.at(0) is Tier.ALERT
    assert not state.opportunistic
    assert state.at(500) is Tier.CALM
    state.ask(100)
    assert state.at(600) is Tier.ALERT
    assert state.at(700) is Tier.CALM


def test_what_is_wished_beyond_what_is_asked_for_gives_way() -> None:
    def asked() -> TierState:
        state = TierState(CALM)
        state.at(0, keyframe=True)
        state.ask(400, wish_ms=1000)
        assert state.at(100) is Tier.ALERT
        return state

    state = asked()
    assert not state.opportunistic
    assert state.at(600) is Tier.ALERT
    assert state.opportunistic
    assert state.dense
    assert state.at(1100) is Tier.CALM
    busy = asked()
    busy.preempt()
    assert busy.at(499) is Tier.ALERT
    assert busy.at(500) is Tier.CALM


def test_hold_of_nothing_still_looks_at_what_asked_for_it() -> None:
    state = TierState(TierPolicy(start_alert_ms=0, alert_hold_ms=0))
    assert state.observe(100, Suspicion.STANDING) is Tier.ALERT
    assert state.at(101) is Tier.CALM


def test_time_to_spare_lengthens_the_look_after_each_keyframe() -> None:
    state = TierState(CALM)
    state.spare(1000)
    tiers = {ms: state.at(ms, keyframe=ms % 2000 == 0) for ms in range(0, 4000, 100)}
    alert = [ms for ms, tier in tiers.items() if tier is Tier.ALERT]
    # A GOP's first sample is a calm one, and only it carries a calm score.
    assert alert == [*range(300, 1000, 100), *range(2300, 3000, 100)]


def test_whole_gops_to_spare_are_one_alert_without_a_seam() -> None:
    state = TierState(CALM)
    state.spare(10_000)
    tiers = [state.at(ms, keyframe=ms % 2000 == 0) for ms in range(0, 9000, 100)]
    assert tiers == [Tier.CALM] * 3 + [Tier.ALERT] * 87


steps = st.lists(
    st.tuples(
        st.integers(1, 3000),
        st.booleans(),
        st.sampled_from([None, *Suspicion]),
        st.sampled_from([None, 0, 400, 5000]),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


@given(steps, st.integers(0, 5000), st.integers(1, 8000), st.integers(50, 2000))
def test_alert_that_is_due_is_exact_and_never_gives_way(
    steps: list[tuple[int, bool, Suspicion | None, int | None, bool]],
    start_ms: int,
    hold_ms: int,
    probe_ms: int,
) -> None:
    """Checked against a plain model of due samples. Voluntary samples only add to them."""
    tiers = TierPolicy(start_alert_ms=start_ms, alert_hold_ms=hold_ms, probe_ms=probe_ms)
    state = TierState(tiers)
    state.at(0, keyframe=True)
    lasts_ms = {
        Suspicion.NONE: 0,
        Suspicion.RAISED: max(probe_ms, tiers.alert_interval_ms * 3 // 2),
        Suspicion.STANDING: hold_ms,
    }
    now, due_until, gave_way = 0, 0, False
    for step, keyframe, suspicion, spare_ms, preempt in steps:
        now += step
        gave_way = gave_way and not keyframe
        tier = state.at(now, keyframe)
        if spare_ms is not None:
            state.spare(spare_ms)
            tier = state.at(now)
        if preempt:
            state.preempt()
            gave_way, tier = True, state.at(now)
        if suspicion is not None:
            due_until = max(due_until, now + lasts_ms[suspicion])
            tier = state.observe(now, suspicion)
        assert state.due == (now < due_until)
        assert (tier is Tier.ALERT) == (state.due or state.opportunistic)
        assert not (state.due and state.opportunistic)
        if gave_way:
            assert (tier is Tier.ALERT) == state.due
        if now < start_ms and not gave_way:
            assert tier is Tier.ALERT


@given(st.lists(st.sampled_from([*Suspicion]), max_size=30), st.integers(0, 29))
def test_more_suspicion_never_means_less_alert(said: list[Suspicion], which: int) -> None:
    def alert_ms(said: list[Suspicion]) -> list[int]:
        state, alert = TierState(CALM), []
        for index, suspicion in enumerate(said):
            state.observe(index * 200, suspicion)
            alert += [ms for ms in range(index * 200, index * 200 + 200, 50) if state.at(ms) is Tier.ALERT]
        return alert

    more = [Suspicion.STANDING if i == which else s for i, s in enumerate(said)]
    assert set(alert_ms(said)) <= set(alert_ms(more))
