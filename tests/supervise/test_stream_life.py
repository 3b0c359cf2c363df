"""The life of a live stream: only drawn transitions happen, and nothing is decided after a cut."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.supervise import stream_life
from edge.supervise.stream_life import TRANSITIONS, Event, State, StreamLife

EVENTS = st.lists(st.sampled_from(Event), max_size=40)
CUT = {State.CUTTING, State.CUTTING_UNWATCHED}


def happens(life: StreamLife, event: Event) -> bool:
    method = getattr(life, event.value)
    return bool(method())


def after(*events: Event) -> StreamLife:
    life = StreamLife()
    for event in events:
        assert happens(life, event), f"{event} is forbidden in {life.state}"
    return life


@given(EVENTS)
def test_only_drawn_transitions_happen(events: list[Event]) -> None:
    life = StreamLife()
    for event in events:
        before = life.state
        allowed = happens(life, event)
        assert allowed == ((before, event) in TRANSITIONS)
        assert life.state is (TRANSITIONS[before, event] if allowed else before)


@given(EVENTS)
def test_nothing_is_decided_once_it_is_cut(events: list[Event]) -> None:
    life, cuts = StreamLife(), 0
    for event in events:
        was_cut = life.cutting
        cuts += happens(life, event) and event is Event.CUT
        if was_cut:
            assert life.state in {*CUT, State.OVER}, "only its end comes after a cut"
            assert not life.watched
            assert not life.waits
    assert cuts <= 1


@given(EVENTS)
def test_nothing_comes_after_the_end(events: list[Event]) -> None:
    life = after(Event.FORGOTTEN)
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

    def happens(self, event: Event) -> None:
        open_to_callers = not (self.cut or self.gone or self.over)
        match event:
            case Event.FORGOTTEN:
                self.over = True
            case Event.CUT if not self.over:
                self.cut = True
            case Event.OPENED if open_to_callers:
                self.in_worker, self.done, self.left = True, False, False
            case Event.REOPENED if open_to_callers:
                self.in_worker = True
            case Event.WORKER_LEFT if open_to_callers:
                self.in_worker = False
            case Event.CALLER_DONE if open_to_callers:
                self.done = True
            case Event.CALLER_LEFT if open_to_callers:
                self.done = self.left = True
            case Event.PUBLISHER_GONE if open_to_callers and self.in_worker:
                self.gone = True


@given(EVENTS)
def test_a_state_says_what_flags_would_say(events: list[Event]) -> None:
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
        ((Event.OPENED, Event.CALLER_DONE, Event.WORKER_LEFT, Event.OPENED), State.WATCHED),
        ((Event.OPENED, Event.CALLER_LEFT, Event.WORKER_LEFT), State.LEFT),
        ((Event.OPENED, Event.WORKER_LEFT, Event.CALLER_LEFT), State.LEFT),
        ((Event.OPENED, Event.CALLER_LEFT, Event.CALLER_DONE), State.LEAVING),
        ((Event.OPENED, Event.CALLER_DONE, Event.WORKER_LEFT, Event.REOPENED), State.ENDING),
        ((Event.OPENED, Event.PUBLISHER_GONE, Event.CUT), State.CUTTING),
        ((Event.CUT,), State.CUTTING_UNWATCHED),
    ],
)
def test_lives(events: tuple[Event, ...], state: State) -> None:
    assert after(*events).state is state


@pytest.mark.parametrize(
    ("events", "forbidden"),
    [
        ((), Event.PUBLISHER_GONE),
        ((Event.OPENED, Event.PUBLISHER_GONE), Event.OPENED),
        ((Event.OPENED, Event.PUBLISHER_GONE), Event.REOPENED),
        ((Event.OPENED, Event.CUT), Event.WORKER_LEFT),
        ((Event.OPENED, Event.CUT), Event.CUT),
    ],
)
def test_what_is_forbidden_changes_nothing(events: tuple[Event, ...], forbidden: Event) -> None:
    life = after(*events)
    before = life.state
    assert not happens(life, forbidden)
    assert life.state is before
