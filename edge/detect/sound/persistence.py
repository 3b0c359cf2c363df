"""Turns the scores of windows into signals that count only what persists. Pure.

A shot is in two windows, a burst in more. A click that one window takes for a shot is not. So the score of a
category is the k-th best of its last n windows: it is over a threshold exactly where k of them are. A window
that was not due, or that a gap has swallowed, counts as 0.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from edge.detect.sound.sound_windows import STEP_MS, SoundWindow
from edge.detect.witness_specs import KOfN
from edge.domain import ModelKind, Signal, SignalSource


class SoundPersistence:
    """The last windows of one stream, for each category."""

    def __init__(self, rules: Mapping[str, KOfN]) -> None:
        self._rules = dict(rules)
        self._windows: deque[tuple[SoundWindow, Mapping[str, float]]] = deque(
            maxlen=max((rule.n for rule in rules.values()), default=1)
        )

    @property
    def settled(self) -> bool:
        """Whether every signal has gone back to 0."""
        return not any(scores for _, scores in self._windows)

    def restart(self) -> None:
        """Forgets all windows."""
        self._windows.clear()

    def add_window(self, window: SoundWindow, scores: Mapping[str, float]) -> tuple[Signal, ...]:
        """Takes the next window and its scores by category, none for one that was not due.

        Returns one signal for each category, and nothing once all have settled.
        """
        if self.settled and not scores:
            return ()
        self._windows.append((replace(window, patch=None), scores))
        return tuple(self._signal(category, rule, window) for category, rule in self._rules.items())

    def settle(self, pts_ms: float) -> tuple[Signal, ...]:
        """Ends what is going on, because no sound comes any more. Returns the last signals, with score 0."""
        if self.settled:
            return ()
        self._windows.clear()
        return tuple(_signal(category, pts_ms, pts_ms, 0.0, "no more sound") for category in self._rules)

    def _signal(self, category: str, rule: KOfN, newest: SoundWindow) -> Signal:
        since_ms = newest.end_ms - (rule.n - 0.5) * STEP_MS
        last = [one for one in self._windows if one[0].end_ms > since_ms]
        best = sorted(last, key=lambda one: _rank(one[1].get(category, 0.0)), reverse=True)[: rule.k]
        score = best[-1][1].get(category, 0.0) if len(best) == rule.k else 0.0
        heard = [window.begin_ms for window, scores in best if scores.get(category)]
        begin_ms = min(heard, default=newest.begin_ms)
        detail = f"{rule.k} of {len(last)} windows of sound"
        return _signal(category, begin_ms, newest.end_ms, score, detail)


def _signal(category: str, begin_ms: float, end_ms: float, score: float, detail: str) -> Signal:
    return Signal(
        source=SignalSource.DETECT,
        category=category,
        pts_ms=round(end_ms),
        score=score,
        detail=detail,
        begin_pts_ms=round(begin_ms),
        kind=ModelKind.AUDIO,
    )


def _rank(score: float) -> float:
    """Not a number goes first: unknown is not harmless."""
    return math.inf if math.isnan(score) else score
