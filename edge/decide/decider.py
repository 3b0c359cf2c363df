"""Decides from signals on PASS, FLAG or CUT, and moves the watermark. Pure: no I/O, media time as an
argument.

The watermark (``cleared_pts_ms``) is the media time of the newest sample with no unresolved sample before
it. A raised category, or a near match that could cut, freezes it at the last clear sample before. It moves
again when the suspicion is resolved, and never after a CUT. It never goes back. So an ingest server that
only releases media behind the watermark shows nothing that is cut later.

Shadow mode makes the same decisions and acts on none. It never freezes the watermark either, because
holding media back is an act.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.decide.persistence import CategoryState
from edge.decide.suspicion import Suspicion
from edge.domain import Action, Signal, SignalSource
from edge.policy import Mode, Policy
from edge.reasons import VerdictReason


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one sample."""

    action: Action
    pts_ms: int
    cleared_pts_ms: int
    """-1 before the first cleared sample."""
    suspicious: bool
    """Whether a category is raised and not yet released, or a match is near. The watermark is then frozen."""
    score: float
    """Score of the deciding signal (FLAG, CUT), or the highest detect score (PASS)."""
    category: str = ""
    reason: VerdictReason = VerdictReason.NONE
    signals: tuple[Signal, ...] = ()
    """For FLAG and CUT: the signals of the samples that led to it, oldest first, then this sample's other
    signals. For PASS: this sample's signals."""
    begin_pts_ms: int | None = None
    """For FLAG and CUT: media time of the oldest sample that voted. None for PASS."""
    shadow: bool = False
    suspicion: Suspicion = Suspicion.NONE
    """Suspicion of this sample, from which the next tier follows."""


class Decider:
    """Decides on one stream. The same signals, times and policy give the same decisions."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._categories = {name: CategoryState(part) for name, part in policy.categories.items()}
        self._flagged_entries: set[str] = set()
        self._flagged_audio: set[str] = set()
        self._cut = False
        self._cut_acted = False
        self._cleared_pts_ms = -1

    @property
    def cleared_pts_ms(self) -> int:
        return self._cleared_pts_ms

    def decide(self, signals: Iterable[Signal], pts_ms: int, *, near_match: bool = False) -> Decision:
        """Decides on one sample. ``near_match``: a bank entry has votes, whether or not they count yet.

        Signals of categories that the policy does not name are recorded but decide nothing.
        """
        now = tuple(signals)
        detected = [s for s in now if s.source is SignalSource.DETECT]
        for signal in detected:
            if (state := self._categories.get(signal.category)) is not None:
                state.add_signal(signal)
        if not near_match:
            self._flagged_entries.clear()
        near_match = near_match and self._policy.match.enabled
        suspicious = near_match or any(state.raised for state in self._categories.values())
        suspicion = Suspicion.STANDING if near_match else Suspicion.NONE
        if self._audio_signals(now):
            suspicion = max(suspicion, Suspicion.RAISED)
        for signal in detected:
            if (state := self._categories.get(signal.category)) is not None:
                suspicion = max(suspicion, state.suspicion)
        shadow = self._policy.mode is Mode.SHADOW
        action, led, begin_pts_ms = self._action(now)
        if action is Action.CUT:
            self._cut = True
            self._cut_acted = self._cut_acted or not shadow
        self._advance(pts_ms, near_match, shadow)
        deciding = led[-1] if led else None
        return Decision(
            action=action,
            pts_ms=pts_ms,
            cleared_pts_ms=self._cleared_pts_ms,
            suspicious=suspicious,
            score=deciding.score if deciding else max((s.score for s in detected), default=0.0),
            category=deciding.category if deciding else "",
            reason=_REASONS[deciding.source] if deciding else VerdictReason.NONE,
            signals=(*led, *(s for s in now if s not in led)),
            begin_pts_ms=begin_pts_ms,
            shadow=shadow,
            suspicion=suspicion,
        )

    def set_policy(self, policy: Policy) -> None:
        """Applies a new policy. Episodes, runs and the watermark of the stream continue.

        Findings in shadow mode had no effect. An enforcing policy acts on them as soon as they are seen
        again.
        """
        states = {}
        for name, part in policy.categories.items():
            states[name] = self._categories.get(name) or CategoryState(part)
            states[name].follow(part)
        if self._policy.mode is Mode.SHADOW and policy.mode is Mode.ENFORCE:
            self._cut = self._cut_acted
            self._flagged_entries.clear()
            self._flagged_audio.clear()
            for state in states.values():
                state.flagged = False
        self._categories = states
        self._policy = policy

    def _action(self, now: tuple[Signal, ...]) -> tuple[Action, tuple[Signal, ...], int | None]:
        """Returns the action, its signals and when the first of its samples was: CUT once per stream, FLAG
        once per episode.

        A CUT also counts as the FLAG of its episode.
        """
        if self._cut:
            return _PASS
        for state in self._categories.values():
            if led := state.cut_due:
                return Action.CUT, led, min(state.cut_run_begin_ms, led[0].pts_ms)
        matches = [s for s in now if s.source is SignalSource.MATCH] if self._policy.match.enabled else []
        matches += self._audio_signals(now)
        for signal in matches:
            if self._match_action(signal) is Action.CUT:
                return Action.CUT, (signal,), _begin_of(signal)
        for state in self._categories.values():
            if led := state.flag_due:
                state.flagged = True
                return Action.FLAG, led, led[0].pts_ms
        for signal in matches:
            flagged = self._flagged_audio if signal.source is SignalSource.AUDIO else self._flagged_entries
            if self._match_action(signal) is Action.FLAG and (signal.entry or "") not in flagged:
                flagged.add(signal.entry or "")
                return Action.FLAG, (signal,), _begin_of(signal)
        return _PASS

    def _audio_signals(self, now: tuple[Signal, ...]) -> list[Signal]:
        """Returns the signals of known sound, if the policy acts on it.

        Each entry is flagged once per stream, because music comes back.
        """
        match = self._policy.match
        listens = match.enabled and match.sound_action is not Action.PASS
        return [s for s in now if s.source is SignalSource.AUDIO] if listens else []

    def _match_action(self, signal: Signal) -> Action:
        match = self._policy.match
        action = match.sound_action if signal.source is SignalSource.AUDIO else match.action
        if action is Action.CUT and signal.at_most is not Action.CUT:
            return Action.FLAG
        return action

    def _advance(self, pts_ms: int, near_match: bool, shadow: bool) -> None:
        frozen = (
            any(state.raised for state in self._categories.values())
            or (near_match and self._policy.match.action is Action.CUT)
            or self._cut
        )
        if self._cut_acted or (frozen and not shadow):
            return
        self._cleared_pts_ms = max(self._cleared_pts_ms, pts_ms)


def _begin_of(signal: Signal) -> int:
    return signal.pts_ms if signal.begin_pts_ms is None else signal.begin_pts_ms


_PASS: tuple[Action, tuple[Signal, ...], int | None] = (Action.PASS, (), None)
_REASONS = {
    SignalSource.DETECT: VerdictReason.DETECTOR,
    SignalSource.MATCH: VerdictReason.MATCH,
    SignalSource.AUDIO: VerdictReason.AUDIO,
}
