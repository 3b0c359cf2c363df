"""Rules that combine witnesses: signals of several categories near each other on one stream. Pure.

A witness is a signal whose score a condition of a rule asks for. A rule holds while witnesses of all of its
conditions, or of any, lie within ``within_ms`` of media time. It is due once for as long as it holds.

A rule waits for the others while it has some of its witnesses, once for as long as it has any. The watermark
then stands for ``hold_ms`` at most.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from edge.domain import Action, ModelKind, Signal
from edge.policy import Condition, Policy, WitnessRule

_LATE_MS: Final = 5_000
"""Most by which a signal may come after later ones: audio is judged behind frames."""
_MOST: Final = 64
"""Most witnesses of a category that are kept. The newest stay."""


class Held(NamedTuple):
    """A rule that holds, and what it asks for here."""

    rule: WitnessRule
    action: Action
    witnesses: tuple[Signal, ...]
    """The strongest for each condition that has one, oldest first."""


class RuleBook:
    """The rules of one stream."""

    def __init__(self, policy: Policy) -> None:
        self._said: dict[str, Action] = {}
        """The strongest action said of each rule while it holds."""
        self._seen: dict[str, deque[Signal]] = {}
        self._waits_since_ms: dict[str, int] = {}
        """Media time when a rule that waits for further witnesses had its first."""
        self._newest_ms = 0
        self.set_policy(policy)

    def set_policy(self, policy: Policy) -> None:
        """Applies a new policy. Witnesses stay."""
        self._games = policy.games
        judged = policy.judged
        self._rules = policy.acting_rules
        self._asked: dict[str, float] = {}
        for rule in self._rules:
            for condition in rule.when.conditions:
                if condition.category in judged:
                    least = self._asked.get(condition.category, math.inf)
                    self._asked[condition.category] = min(least, condition.at_least)
        self._horizon_ms = _LATE_MS + max((rule.within_ms for rule in self._rules), default=0)
        self._seen = {name: seen for name, seen in self._seen.items() if name in self._asked}
        names = {rule.name for rule in self._rules}
        self._said = {name: said for name, said in self._said.items() if name in names}
        self._waiters = [
            rule
            for rule in self._rules
            if rule.hold_ms
            and not policy.games  # what is heard there never cuts, whatever comes
            and all(condition.category in judged for condition in rule.when.all)
        ]
        self._waits_since_ms = {
            rule.name: self._waits_since_ms[rule.name]
            for rule in self._waiters
            if rule.name in self._waits_since_ms
        }

    def acted_anew(self) -> None:
        """Forgets what was said, because it had no effect."""
        self._said.clear()

    def add_signals(self, signals: Iterable[Signal], pts_ms: int) -> None:
        """Takes the signals of a sample at ``pts_ms``. Media time that goes far back begins anew."""
        if pts_ms < self._newest_ms - self._horizon_ms:
            self._seen.clear()
            self._waits_since_ms.clear()
            self._newest_ms = pts_ms
        self._newest_ms = max(self._newest_ms, pts_ms)
        for rule in self._rules:
            if rule.name in self._said:
                last_ms = max((ms for ms, _ in self._stretches(rule)), default=-math.inf)
                if self._newest_ms - last_ms > rule.within_ms:
                    del self._said[rule.name]
        for rule in self._waiters:
            if not self._has_witness(rule):
                self._waits_since_ms.pop(rule.name, None)
        for signal in signals:
            if signal.score >= self._asked.get(signal.category, math.inf):  # not a number never is
                self._seen.setdefault(signal.category, deque(maxlen=_MOST)).append(signal)
        for seen in self._seen.values():
            while seen and seen[0].pts_ms < self._newest_ms - self._horizon_ms:
                seen.popleft()
        for rule in self._waiters:
            if self._has_witness(rule):
                self._waits_since_ms.setdefault(rule.name, self._newest_ms)

    @property
    def holds_back(self) -> bool:
        """Whether a rule that could cut waits for further witnesses, and has not waited for long."""
        return any(
            self._newest_ms - self._waits_since_ms[rule.name] < rule.hold_ms
            for rule in self._waiters
            if rule.name in self._waits_since_ms
        )

    def due(self, action: Action) -> Held | None:
        """Returns the first rule that holds, asks for this action and has not had it. It then has."""
        for rule in self._rules:
            if self._said.get(rule.name) in (action, Action.CUT):
                continue
            held = self._held(rule)
            if held is not None and held.action is action:
                self._said[rule.name] = action
                return held
        return None

    def _has_witness(self, rule: WitnessRule) -> bool:
        since_ms = self._newest_ms - rule.within_ms
        return any(one.pts_ms >= since_ms for condition in rule.when.all for one in self._of(condition))

    def _held(self, rule: WitnessRule) -> Held | None:
        """Returns the strongest stretch: a rule is as strong as its weakest witness."""
        stretches = [
            (min(signal.score for signal in witnesses), at_ms, witnesses)
            for at_ms, witnesses in self._stretches(rule)
        ]
        if not stretches:
            return None
        witnesses = max(stretches, key=lambda one: one[:2])[2]
        return Held(rule, self._action(rule, witnesses), tuple(sorted(witnesses, key=lambda one: one.pts_ms)))

    def _stretches(self, rule: WitnessRule) -> Iterator[tuple[int, tuple[Signal, ...]]]:
        """Yields the end of each stretch of ``within_ms`` in which the rule holds, and its witnesses."""
        found = [self._of(condition) for condition in rule.when.conditions]
        for end_ms in sorted({signal.pts_ms for seen in found for signal in seen}):
            near = [[one for one in seen if 0 <= end_ms - one.pts_ms <= rule.within_ms] for seen in found]
            if all(near) if rule.when.all else any(near):
                yield end_ms, tuple(max(each, key=_strength) for each in near if each)

    def _of(self, condition: Condition) -> list[Signal]:
        return [one for one in self._seen.get(condition.category, ()) if one.score >= condition.at_least]

    def _action(self, rule: WitnessRule, witnesses: tuple[Signal, ...]) -> Action:
        """Games sound like what they show, so what its audio says is no ground for a cut."""
        by_audio = any(signal.kind is ModelKind.AUDIO for signal in witnesses)
        return Action.FLAG if self._games and by_audio else rule.then


def _strength(signal: Signal) -> tuple[float, int]:
    return signal.score, signal.pts_ms
