"""Turns the scores of single frames or windows of audio into signals that count only what persists. Pure.

A shot is in two windows, a burst in more. A click that one window takes for a shot is not. So the score of a
category is the k-th best of its last n windows: it is over a threshold exactly where k of them are. A window
that was not due, or that a gap has swallowed, counts as 0. The same holds for frames.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from edge.detect.witness_specs import KOfN
from edge.domain import ModelKind, Signal, SignalSource


class Stretch(NamedTuple):
    """Media time of what was judged, milliseconds. A frame begins and ends at once."""

    begin_ms: float
    end_ms: float


class WitnessPersistence:
    """The last frames or windows of one stream, for each category."""

    def __init__(self, rules: Mapping[str, KOfN], kind: ModelKind, step_ms: float, what: str) -> None:
        """``step_ms`` is the longest media time from one to the next: more is a gap. ``what`` names several
        for people."""
        self._rules = dict(rules)
        self._kind = kind
        self._step_ms = step_ms
        self._what = what
        self._most = max((rule.n for rule in rules.values()), default=1)
        self._judged: deque[tuple[Stretch, Mapping[str, float]]] = deque(maxlen=self._most)

    @property
    def settled(self) -> bool:
        """Whether every signal has gone back to 0."""
        return not any(scores for _, scores in self._judged)

    def add_scores(self, stretch: Stretch, scores: Mapping[str, float]) -> tuple[Signal, ...]:
        """Takes the scores of the next one by category, none for one that was not due.

        Returns one signal for each category, and nothing once all have settled.
        """
        if self.settled and not scores:
            return ()
        self._judged.append((stretch, scores))
        return tuple(self._signal(category, rule, stretch) for category, rule in self._rules.items())

    def settle(self, pts_ms: float) -> tuple[Signal, ...]:
        """Ends what is going on, because nothing comes any more. Returns the last signals, with score 0."""
        if self.settled:
            return ()
        self._judged.clear()
        now = Stretch(pts_ms, pts_ms)
        return tuple(self._said(category, now, 0.0, f"no more {self._what}") for category in self._rules)

    def is_out_of_date(self, pts_ms: float) -> bool:
        """Whether all that counts would lie before a gap, if the next one came at ``pts_ms``."""
        newest_ms = self._judged[-1][0].end_ms if self._judged else pts_ms
        return pts_ms - newest_ms > (self._most - 0.5) * self._step_ms

    def _signal(self, category: str, rule: KOfN, newest: Stretch) -> Signal:
        since_ms = newest.end_ms - (rule.n - 0.5) * self._step_ms
        last = [one for one in self._judged if one[0].end_ms > since_ms][-rule.n :]
        best = sorted(last, key=lambda one: _rank(one[1].get(category, 0.0)), reverse=True)[: rule.k]
        score = best[-1][1].get(category, 0.0) if len(best) == rule.k else 0.0
        counted = [stretch.begin_ms for stretch, scores in best if scores.get(category)]
        begin_ms = min(counted, default=newest.begin_ms)
        detail = f"{rule.k} of {len(last)} {self._what}"
        return self._said(category, Stretch(begin_ms, newest.end_ms), score, detail)

    def _said(self, category: str, stretch: Stretch, score: float, detail: str) -> Signal:
        return Signal(
            source=SignalSource.DETECT,
            category=category,
            pts_ms=round(stretch.end_ms),
            score=score,
            detail=detail,
            begin_pts_ms=round(stretch.begin_ms),
            kind=self._kind,
        )


def _rank(score: float) -> float:
    """Not a number goes first: unknown is not harmless."""
    return math.inf if math.isnan(score) else score
