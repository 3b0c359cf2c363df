"""The life of one live stream: one state, and the events that move it. Pure.

      no worker has it               a worker has it                     it is cut

      ┌──────────┐ opened, reopened ┌─────────┐
   ──▶│ ADMITTED │ ────────────────▶│ WATCHED │
      │          │◀──────────────── │         │ ────┐
      └──────────┘   worker left    └─────────┘     │
           │ caller done                 │ caller done
           ▼                             ▼          │
      ┌──────────┐     reopened     ┌─────────┐     │
      │ RELEASED │ ────────────────▶│ ENDING  │     │     cut      ┌─────────┐
      │          │◀──────────────── │         │ ────┼─────────────▶│ CUTTING │
      └──────────┘   worker left    └─────────┘     │              └─────────┘
           │ caller left                 │ caller left                  ▲
           ▼                             ▼          │                   │ cut
      ┌──────────┐     reopened     ┌─────────┐     │                ┌──────┐
      │ LEFT     │ ────────────────▶│ LEAVING │     ├───────────────▶│ GONE │
      │          │◀──────────────── │         │ ────┘ publisher gone └──────┘
      └──────────┘   worker left    └─────────┘
           │
           └── from each of these three: cut ──────────────▶ CUTTING_UNWATCHED

Not drawn: ``forgotten`` leads from each state to OVER, where nothing leads on. ``opened`` leads from each of
the three rows to WATCHED, since a new call begins anew. ``caller left`` also leads from the first row to the
third. ``reopened`` changes nothing while a worker has the stream.

``TRANSITIONS`` lists all allowed transitions. Any other event changes nothing, and its method returns False.
After a cut nothing is decided on the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """The state of a stream."""

    ADMITTED = "admitted"
    """Nobody watches it yet, or its watching was interrupted."""
    WATCHED = "watched"
    ENDING = "ending"
    """Its caller sends or wants no more. Its worker judges the rest."""
    RELEASED = "released"
    """Its caller was done with it. It may be opened again."""
    LEAVING = "leaving"
    """Its caller says that the publisher is gone. Its worker judges the rest."""
    LEFT = "left"
    """Its caller says that the publisher is gone. It is over when the call ends."""
    GONE = "gone"
    """The server's hook says that the publisher is gone. Its worker still judges the rest."""
    CUTTING = "cutting"
    """A CUT is on its way or done. Its worker keeps its media until the evidence is written."""
    CUTTING_UNWATCHED = "cutting_unwatched"
    """The same, but no worker has it."""
    OVER = "over"
    """It is forgotten."""


class LifeEvent(StrEnum):
    """An event in the life of a stream."""

    OPENED = "opened"
    """A call or a hook has it watched, and a worker has it."""
    REOPENED = "reopened"
    """The gate itself has opened it in a worker again."""
    WORKER_LEFT = "worker_left"
    """No worker has it any more."""
    CALLER_DONE = "caller_done"
    """Its caller sends or wants no more of it."""
    CALLER_LEFT = "caller_left"
    """The same, because the publisher is gone."""
    PUBLISHER_GONE = "publisher_gone"
    """The server's own hook says that the publisher is gone."""
    CUT = "cut"
    FORGOTTEN = "forgotten"


_UNWATCHED: Final = (State.ADMITTED, State.RELEASED, State.LEFT)
_WATCHED: Final = (State.WATCHED, State.ENDING, State.LEAVING)
_DONE: Final = {State.ADMITTED: State.RELEASED, State.WATCHED: State.ENDING}

TRANSITIONS: Final[Mapping[tuple[State, LifeEvent], State]] = MappingProxyType(
    {(state, LifeEvent.OPENED): State.WATCHED for state in (*_UNWATCHED, *_WATCHED)}
    | {(without, LifeEvent.REOPENED): watched for without, watched in zip(_UNWATCHED, _WATCHED, strict=True)}
    | {(watched, LifeEvent.REOPENED): watched for watched in _WATCHED}
    | {
        (watched, LifeEvent.WORKER_LEFT): without
        for without, watched in zip(_UNWATCHED, _WATCHED, strict=True)
    }
    | {(state, LifeEvent.CALLER_DONE): _DONE.get(state, state) for state in (*_UNWATCHED, *_WATCHED)}
    | {(state, LifeEvent.CALLER_LEFT): State.LEFT for state in _UNWATCHED}
    | {(state, LifeEvent.CALLER_LEFT): State.LEAVING for state in _WATCHED}
    | {(state, LifeEvent.PUBLISHER_GONE): State.GONE for state in _WATCHED}
    | {(state, LifeEvent.CUT): State.CUTTING for state in (*_WATCHED, State.GONE)}
    | {(state, LifeEvent.CUT): State.CUTTING_UNWATCHED for state in _UNWATCHED}
    | {(state, LifeEvent.FORGOTTEN): State.OVER for state in State if state is not State.OVER}
)
"""The events that each state allows, and the state after each."""


class StreamLife:
    """The state of one stream. Each event has a method, which returns whether the state allowed it."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = State.ADMITTED

    @property
    def state(self) -> State:
        return self._state

    @property
    def watched(self) -> bool:
        """Whether a worker judges it and it is not cut."""
        return self._state in _WATCHED or self._state is State.GONE

    @property
    def in_worker(self) -> bool:
        """Whether a worker has it: to judge it, or to keep its media for the evidence of its cut."""
        return self.watched or self._state is State.CUTTING

    @property
    def waits(self) -> bool:
        """Whether no worker has it and it may be opened."""
        return self._state in _UNWATCHED

    @property
    def caller_is_done(self) -> bool:
        """Whether its last caller sends or wants no more of it."""
        return self._state in (State.ENDING, State.RELEASED, State.LEAVING, State.LEFT)

    @property
    def cutting(self) -> bool:
        """Whether a CUT is on its way or done. Nothing more is decided on it then."""
        return self._state in (State.CUTTING, State.CUTTING_UNWATCHED)

    @property
    def over(self) -> bool:
        return self._state is State.OVER

    def opened(self) -> bool:
        return self._after(LifeEvent.OPENED)

    def reopened(self) -> bool:
        return self._after(LifeEvent.REOPENED)

    def worker_left(self) -> bool:
        return self._after(LifeEvent.WORKER_LEFT)

    def caller_done(self) -> bool:
        return self._after(LifeEvent.CALLER_DONE)

    def caller_left(self) -> bool:
        return self._after(LifeEvent.CALLER_LEFT)

    def publisher_gone(self) -> bool:
        return self._after(LifeEvent.PUBLISHER_GONE)

    def cut(self) -> bool:
        return self._after(LifeEvent.CUT)

    def forgotten(self) -> bool:
        return self._after(LifeEvent.FORGOTTEN)

    def _after(self, event: LifeEvent) -> bool:
        state = TRANSITIONS.get((self._state, event))
        if state is None:
            return False
        self._state = state
        return True
