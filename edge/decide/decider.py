"""Decides from signals on PASS, FLAG or CUT, and moves the watermark. Pure: no I/O, media time as an
argument.

The watermark (``cleared_pts_ms``) is the media time of the newest sample with no unresolved sample before
it. A raised category, or a near match, that could cut freezes it at the last clear sample before. So does a
rule that waits for further witnesses, for its ``hold_ms`` at most. What can only flag, and what is heard in
games, holds nothing back. The watermark moves again when the suspicion is resolved, and never after a CUT. It
never goes back. So an ingest server that
only releases media behind the watermark shows nothing that is cut later.

What the policy's mode does not act on (shadow) is decided all the same, and changes nothing for the stream.
It never freezes the watermark either, because holding media back is an act. It keeps nothing that is acted
on from being said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from edge.decide.persistence import CategoryState
from edge.decide.rule_book import RuleBook
from edge.decide.suspicion import Suspicion
from edge.domain import Action, ModelKind, Signal, SignalSource
from edge.policy import MatchPolicy, Policy
from edge.reasons import VerdictReason


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one sample."""

    action: Action
    pts_ms: int
    cleared_pts_ms: int
    """-1 before the first cleared sample."""
    suspicious: bool
    """Whether a category is raised and not yet released, or a match is near. Where that could cut, the
    watermark is then frozen."""
    score: float
    """Score of the deciding signal (FLAG, CUT), or the highest detect score (PASS). That of a motion model's
    signal is the belief."""
    category: str = ""
    reason: VerdictReason = VerdictReason.NONE
    signals: tuple[Signal, ...] = ()
    """For FLAG and CUT: the signals that led to it, oldest first, then this sample's other signals. For PASS:
    this sample's signals."""
    begin_pts_ms: int | None = None
    """For FLAG and CUT: media time of the oldest sample that voted. None for PASS."""
    shadow: bool = False
    """Whether the policy's mode withholds the action."""
    suspicion: Suspicion = Suspicion.NONE
    """Suspicion of this sample, from which the next tier follows."""
    going_on: tuple[Signal, ...] = ()
    """This sample's signals of what had its FLAG or CUT before and goes on."""
    rule: str = ""
    """Name of the rule that decided."""
    urgent: bool = False
    """For FLAG and CUT: whether the policy's category or rule calls it urgent."""


class _Found(NamedTuple):
    action: Action
    led: tuple[Signal, ...]
    begin_pts_ms: int | None
    """When the first of its samples was."""
    rule: str = ""
    category: str = ""
    """Category of a rule's verdict: of its first condition that has a witness."""


class Decider:
    """Decides on one stream. The same signals, times and policy give the same decisions."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._categories = {
            name: CategoryState(part) for name, part in policy.categories.items() if part.enabled
        }
        self._rules = RuleBook(policy)
        self._said_entries: dict[str, Action] = {}
        """The strongest action said of each entry that is near."""
        self._said_audio: dict[str, Action] = {}
        self._cut = False
        """Whether a CUT that is acted on has been said."""
        self._cleared_pts_ms = -1

    @property
    def cleared_pts_ms(self) -> int:
        return self._cleared_pts_ms

    def decide(
        self, signals: Iterable[Signal], pts_ms: int, *, near_match: bool = False, clears: bool = True
    ) -> Decision:
        """Decides on one sample. ``near_match``: a bank entry has votes, whether or not they count yet.
        Without ``clears`` the watermark stays, as for audio, which says nothing of the video.

        Signals of categories that the policy does not name, and of known footage that is only counted, are
        recorded but decide nothing.
        """
        now = tuple(self._counted(signal) for signal in signals)
        detected = [s for s in now if s.source is SignalSource.DETECT]
        self._rules.add_signals(detected, pts_ms)
        if not near_match:
            self._said_entries.clear()
        near_match = near_match and self._policy.match.enabled
        suspicious = near_match or any(state.raised for state in self._categories.values())
        suspicion = Suspicion.STANDING if near_match else Suspicion.NONE
        if self._audio_signals(now):
            suspicion = max(suspicion, Suspicion.RAISED)
        for signal in detected:
            if (state := self._categories.get(signal.category)) is not None:
                suspicion = max(suspicion, state.suspicion)
        going_on = self._going_on(now)
        action, led, begin_pts_ms, rule, ruled = self._action(now)
        deciding = led[-1] if led else None
        acts = self._policy.mode.acts_on(SignalSource.MATCH if deciding is None else deciding.source)
        self._cut = self._cut or (action is Action.CUT and acts)
        if clears:
            self._advance(pts_ms, near_match)
        category = ruled or (deciding.category if deciding else "")
        return Decision(
            action=action,
            pts_ms=pts_ms,
            cleared_pts_ms=self._cleared_pts_ms,
            suspicious=suspicious,
            score=min(s.score for s in led)
            if rule
            else deciding.score
            if deciding
            else max((s.score for s in detected), default=0.0),
            category=category,
            reason=VerdictReason.RULE
            if rule
            else reason_of(deciding.source)
            if deciding
            else VerdictReason.NONE,
            signals=(*led, *(s for s in now if s not in led)),
            begin_pts_ms=begin_pts_ms,
            shadow=not acts,
            suspicion=suspicion,
            going_on=() if self._cut else going_on,
            rule=rule,
            urgent=self._is_urgent(category, rule, deciding),
        )

    def set_policy(self, policy: Policy) -> None:
        """Applies a new policy. Episodes, beliefs and the watermark of the stream continue.

        Findings that the old mode withheld had no effect. A mode that acts on them does so as soon as they
        are seen again.
        """
        states = {}
        for name, part in policy.categories.items():
            if not part.enabled:
                continue
            states[name] = self._categories.get(name) or CategoryState(part)
            states[name].follow(part)
        before, mode = self._policy.mode, policy.mode
        if mode.acts_on(SignalSource.MATCH) and not before.acts_on(SignalSource.MATCH):
            self._said_entries.clear()
            self._said_audio.clear()
        if mode.acts_on(SignalSource.DETECT) and not before.acts_on(SignalSource.DETECT):
            for state in states.values():
                state.flagged = state.cut_withheld = False
            self._rules.acted_anew()
        self._categories = states
        self._policy = policy
        self._rules.set_policy(policy)

    def _is_urgent(self, category: str, rule: str, deciding: Signal | None) -> bool:
        """Known footage of a category is none of the detector's, whose policy this is."""
        detected = deciding is not None and deciding.source is SignalSource.DETECT
        return detected and self._policy.is_urgent(category, rule)

    def _counted(self, signal: Signal) -> Signal:
        """Adds a signal to its category. Returns it as it counts there."""
        state = self._categories.get(signal.category) if signal.source is SignalSource.DETECT else None
        return signal if state is None else state.add_signal(signal)

    def _action(self, now: tuple[Signal, ...]) -> _Found:
        """Returns the action, its signals and when the first of its samples was: CUT once per stream, FLAG
        once per episode. A CUT in shadow comes once per episode.

        A CUT also counts as the FLAG of its episode. What is acted on goes before what is not.
        """
        if self._cut:
            return _PASS
        acts = self._policy.mode.acts_on(SignalSource.DETECT)
        if acts and (found := self._detected_cut()):
            return found
        if found := self._matched(now, Action.CUT):
            return found
        if not acts and (found := self._detected_cut()):
            return found
        for state in self._categories.values():
            if led := state.flag_due:
                state.flagged = True
                return _Found(Action.FLAG, (led,), _begin_of(led))
        return self._ruled(Action.FLAG) or self._matched(now, Action.FLAG) or _PASS

    def _detected_cut(self) -> _Found | None:
        if ruled := self._ruled(Action.CUT):
            return ruled
        for state in self._categories.values():
            if (led := state.cut_due) and not self._is_heard_in_game(led):
                state.flagged = state.cut_withheld = True
                return _Found(Action.CUT, (led,), _begin_of(led))
        return None

    def _is_heard_in_game(self, led: Signal) -> bool:
        """Games sound like what they show, so what is heard in one never cuts."""
        return self._policy.games and led.kind is ModelKind.AUDIO

    def _ruled(self, action: Action) -> _Found | None:
        """Returns the first rule that asks for this action and has not had it."""
        held = self._rules.due(action)
        if held is None:
            return None
        begin_ms = min(_begin_of(signal) for signal in held.witnesses)
        seen = {signal.category for signal in held.witnesses}
        category = next(one.category for one in held.rule.when.conditions if one.category in seen)
        return _Found(action, held.witnesses, begin_ms, held.rule.name, category)

    def _matched(self, now: tuple[Signal, ...], action: Action) -> _Found | None:
        """Returns the first match that asks for this action and has not had it."""
        for signal in self._match_signals(now):
            said = self._said_of(signal)
            entry, asked = signal.entry or "", match_action(signal, self._policy.match)
            if asked is action and said.get(entry) not in (action, Action.CUT):
                said[entry] = action
                return _Found(action, (signal,), _begin_of(signal))
        return None

    def _said_of(self, signal: Signal) -> dict[str, Action]:
        return self._said_audio if signal.source is SignalSource.AUDIO else self._said_entries

    def _match_signals(self, now: tuple[Signal, ...]) -> list[Signal]:
        matches = self._acting(now, SignalSource.MATCH) if self._policy.match.enabled else []
        return matches + self._audio_signals(now)

    def _acting(self, now: tuple[Signal, ...], source: SignalSource) -> list[Signal]:
        """Returns the signals of known footage that is not only counted."""
        return [s for s in now if s.source is source and s.at_most is not Action.PASS]

    def _going_on(self, now: tuple[Signal, ...]) -> tuple[Signal, ...]:
        found = [s for s in self._match_signals(now) if (s.entry or "") in self._said_of(s)]
        for signal in now:
            state = self._categories.get(signal.category) if signal.source is SignalSource.DETECT else None
            if state is not None and state.flagged and not math.isnan(signal.score):
                found.append(signal)
        return tuple(found)

    def _audio_signals(self, now: tuple[Signal, ...]) -> list[Signal]:
        """Returns the signals of known audio, if the policy acts on it.

        Each entry is flagged once per stream, because music comes back.
        """
        match = self._policy.match
        listens = match.enabled and match.sound_action is not Action.PASS
        return self._acting(now, SignalSource.AUDIO) if listens else []

    def _advance(self, pts_ms: int, near_match: bool) -> None:
        mode = self._policy.mode
        detected = self._rules.holds_back or any(
            state.holds_back(games=self._policy.games) for state in self._categories.values()
        )
        matched = near_match and self._policy.match.action is Action.CUT
        frozen = (detected and mode.acts_on(SignalSource.DETECT)) or (
            matched and mode.acts_on(SignalSource.MATCH)
        )
        if not self._cut and not frozen:
            self._cleared_pts_ms = max(self._cleared_pts_ms, pts_ms)


def match_action(signal: Signal, match: MatchPolicy) -> Action:
    """Returns what a match asks for by the policy."""
    action = match.sound_action if signal.source is SignalSource.AUDIO else match.action
    if signal.at_most is Action.PASS:
        return Action.PASS
    if action is Action.CUT and signal.at_most is not Action.CUT:
        return Action.FLAG
    return action


def reason_of(source: SignalSource) -> VerdictReason:
    """The reason of a verdict that rests on this source."""
    return _REASONS.get(source, VerdictReason.NONE)


def _begin_of(signal: Signal) -> int:
    return signal.pts_ms if signal.begin_pts_ms is None else signal.begin_pts_ms


_PASS = _Found(Action.PASS, (), None)
_REASONS = {
    SignalSource.DETECT: VerdictReason.DETECTOR,
    SignalSource.MATCH: VerdictReason.MATCH,
    SignalSource.AUDIO: VerdictReason.AUDIO,
}
