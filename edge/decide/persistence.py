"""Tracks persistence and hysteresis of one category's score. Pure."""

from __future__ import annotations

import math
from collections import deque

from edge.decide.suspicion import Suspicion
from edge.domain import Action, ModelKind, Signal
from edge.policy import CategoryPolicy


class CategoryState:
    """The state of one category on one stream.

    An episode begins with a score at or over ``raise_at`` and ends with a score under ``release_at``.
    Scores between the two thresholds continue it. A run is a row of samples at or over a threshold. One
    sample under it ends the run.
    """

    def __init__(self, policy: CategoryPolicy) -> None:
        self.raised = False
        """Whether an episode is running."""
        self.flagged = False
        """Whether this episode has had its FLAG."""
        self.cut_withheld = False
        """Whether this episode has had its CUT, in shadow."""
        self.suspicion = Suspicion.NONE
        """Suspicion of the newest score."""
        self._policy = policy
        self._heard = False
        """Whether the newest signal is of sound."""
        self._flag_run: deque[Signal] = deque(maxlen=policy.flag_samples)
        self._cut_run: deque[Signal] = deque()
        self._cut_run_start_ms = 0
        self._cut_run_samples = 0

    def add_signal(self, signal: Signal) -> None:
        """Takes the newest score. NaN raises the category, because unknown is not harmless. It never flags
        or cuts."""
        policy = self._policy
        self._heard = signal.kind is ModelKind.AUDIO
        score = policy.raise_at if math.isnan(signal.score) else signal.score
        if score >= policy.raise_at:
            self.raised = True
        elif score < policy.release_at:
            self.raised = self.flagged = self.cut_withheld = False
        if score >= policy.flag_at:
            self._flag_run.append(signal)
        else:
            self._flag_run.clear()
        if len(self._flag_run) >= policy.flag_samples:
            self.suspicion = Suspicion.STANDING
        else:
            self.suspicion = Suspicion.RAISED if score >= policy.raise_at else Suspicion.NONE
        if score < policy.cut_at:
            self._cut_run.clear()
            self._cut_run_samples = 0
            return
        if not self._cut_run_samples or signal.pts_ms < self._cut_run_start_ms:
            self._cut_run.clear()
            self._cut_run_samples, self._cut_run_start_ms = 0, signal.pts_ms
        self._cut_run_samples += 1
        self._cut_run.append(signal)
        while len(self._cut_run) > max(policy.cut_samples, 1):
            self._cut_run.popleft()

    def holds_back(self, *, games: bool) -> bool:
        """Whether an episode is running that may end in a cut by this category alone. In games nothing that
        is heard does."""
        return self.raised and self._policy.alone is Action.CUT and not (games and self._heard)

    @property
    def flag_due(self) -> tuple[Signal, ...]:
        """The signals that call for a FLAG now. Empty when none is due, or the episode has had its FLAG."""
        if self.flagged or self._policy.alone is Action.PASS:
            return ()
        if len(self._flag_run) < self._policy.flag_samples:
            return ()
        return tuple(self._flag_run)

    @property
    def cut_due(self) -> tuple[Signal, ...]:
        """The newest signals of a run that is long enough to cut. Empty when there is none, or the episode
        has had its CUT."""
        if self.cut_withheld or self._policy.alone is not Action.CUT:
            return ()
        if self._cut_run_samples < self._policy.cut_samples:
            return ()
        if self._cut_run[-1].pts_ms - self._cut_run_start_ms < self._policy.cut_span_ms:
            return ()
        return tuple(self._cut_run)

    @property
    def cut_run_begin_ms(self) -> int:
        """Media time of the first sample of the run that ``cut_due`` ends."""
        return self._cut_run_start_ms

    def follow(self, policy: CategoryPolicy) -> None:
        """Applies a new policy. Episode and runs continue as far as its numbers allow."""
        self._policy = policy
        self._flag_run = deque(self._flag_run, maxlen=policy.flag_samples)
