"""The life of a live stream: only drawn transitions happen, and nothing is decided after a cut."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.supervise import stream_life
from edge.supervise.stream_life import TRANSITIONS, LifeEvent, State, StreamLife

EVENTS = st.lists(st.sampled_from(LifeEvent), max_size=40)
CUT = {State.CUTTING, State.CUTTING_UNWATCHED}


def happens(life: StreamLife, event: LifeEvent) -> bool:
    method = getattr(life, event.value)
    return bool(method())


def after(*events: LifeEvent) -> StreamLife:
    life = StreamLife()
    for event in events:
        assert happens(life, event), f"{event} is forbidden in {life.state}"
    return life


@given(EVENTS)
def test_only_drawn_transitions_happen(events: list[LifeEvent]) -> None:
    life = StreamLife()
    for event in events:
        before = life.state
        allowed = happens(life, event)
        assert allowed == ((before, event) in TRANSITIONS)
        assert life.state is (TRANSITIONS[before, event] if allowed else before)


@given(EVENTS)
def test_nothing_is_decided_once_it_is_cut(events: list[LifeEvent]) -> None:
    life, cuts = StreamLife(), 0
    for event in events:
        was_cut = life.cutting
        cuts += happens(life, event) and event is LifeEvent.CUT
        if was_cut:
            assert life.state in {*CUT, State.OVER}, "only its end comes after a cut"
            assert not life.watched
            assert not life.waits
    assert cuts <= 1


@given(EVENTS)
def test_nothing_comes_after_the_end(events: list[LifeEvent]) -> None:
    life = after(LifeEvent.FORGOTTEN)
    assert not any(happens(life, event) for event in events)
    assert life.over
    assert not any((life.watched, life.in_worker, life.waits, life.cutting, life.caller_is_done))


@dataclass
class Flags:
    """The same life modelled by separate flags."""

    in_worker: bool = False
    done: bool = False
    left: bool = False
    gone: bool = False
    cut: bool = False
    over: bool = False

    def happens(self, event: LifeEvent) -> None:
        open_to_callers = not (self.cut or self.gone or self.over)
        match event:
            case LifeEvent.FORGOTTEN:
                self.over = True
            case LifeEvent.CUT if not self.over:
                self.cut = True
            case LifeEvent.OPENED if open_to_callers:
                self.in_worker, self.done, self.left = True, False, False
            case LifeEvent.REOPENED if open_to_callers:
                self.in_worker = True
            case LifeEvent.WORKER_LEFT if open_to_callers:
                self.in_worker = False
            case LifeEvent.CALLER_DONE if open_to_callers:
                self.done = True
            case LifeEvent.CALLER_LEFT if open_to_callers:
                self.done = self.left = True
            case LifeEvent.PUBLISHER_GONE if open_to_callers and self.in_worker:
                self.gone = True


@given(EVENTS)
def test_a_state_says_what_flags_would_say(events: list[LifeEvent]) -> None:
    life, flags = StreamLife(), Flags()
    for event in events:
        happens(life, event)
        flags.happens(event)
        assert life.over == flags.over
        if flags.over:
            continue
        assert life.cutting == flags.cut
        assert life.in_worker == flags.in_worker
        assert life.watched == (flags.in_worker and not flags.cut)
        assert life.waits == (not flags.in_worker and not flags.cut)
        if not flags.cut:
            assert (life.state is State.GONE) == flags.gone
        if not (flags.cut or flags.gone):
            assert life.caller_is_done == flags.done
            assert (life.state in {State.LEAVING, State.LEFT}) == flags.left


def test_every_state_is_reached_and_drawn() -> None:
    reached, new = {StreamLife().state}, {StreamLife().state}
    while new:
        new = {after for (before, _), after in TRANSITIONS.items() if before in new} - reached
        reached |= new
    assert reached == set(State)
    drawn = stream_life.__doc__ or ""
    assert [state.name for state in State if state.name not in drawn] == []


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((LifeEvent.OPENED, LifeEvent.CALLER_DONE, LifeEvent.WORKER_LEFT, LifeEvent.OPENED), State.WATCHED),
        ((LifeEvent.OPENED, LifeEvent.CALLER_LEFT, LifeEvent.WORKER_LEFT), State.LEFT),
        ((LifeEvent.OPENED, LifeEvent.WORKER_LEFT, LifeEvent.CALLER_LEFT), State.LEFT),
        ((LifeEvent.OPENED, LifeEvent.CALLER_LEFT, LifeEvent.CALLER_DONE), State.LEAVING),
        ((LifeEvent.OPENED, LifeEvent.CALLER_DONE, LifeEvent.WORKER_LEFT, LifeEvent.REOPENED), State.ENDING),
        ((LifeEvent.OPENED, LifeEvent.PUBLISHER_GONE, LifeEvent.CUT), State.CUTTING),
        ((LifeEvent.CUT,), State.CUTTING_UNWATCHED),
    ],
)
def test_lives(events: tuple[LifeEvent, ...], state: State) -> None:
    assert after(*events).state is state


@pytest.mark.parametrize(
    ("events", "forbidden"),
    [
        ((), LifeEvent.PUBLISHER_GONE),
        ((LifeEvent.OPENED, LifeEvent.PUBLISHER_GONE), LifeEvent.OPENED),
        ((LifeEvent.OPENED, LifeEvent.PUBLISHER_GONE), LifeEvent.REOPENED),
        ((LifeEvent.OPENED, LifeEvent.CUT), LifeEvent.WORKER_LEFT),
        ((LifeEvent.OPENED, LifeEvent.CUT), LifeEvent.CUT),
    ],
)
def test_what_is_forbidden_changes_nothing(events: tuple[LifeEvent, ...], forbidden: LifeEvent) -> None:
    life = after(*events)
    before = life.state
    assert not happens(life, forbidden)
    assert life.state is before
