"""Tracks one category on one stream: what its signals say together, and its episode. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from edge.decide.belief import Belief
from edge.decide.suspicion import Suspicion
from edge.domain import Action, ModelKind, Signal
from edge.policy import CategoryPolicy


class CategoryState:
    """The state of one category on one stream.

    Windows of a motion model are gathered into a belief. Other signals count as they are, because the models
    of frames and audio have counted already what persists. FLAG and CUT follow from what is gathered.

    An episode begins with a score at or over ``raise_at``. It ends when both the newest score and what is
    gathered are under ``release_at``, or nothing is left of the belief.
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
        """Whether the newest signal is of audio."""
        self._belief = Belief(policy.belief)
        self._raised_pts_ms = 0
        self._said: Signal | None = None
        """The newest signal that may act."""

    def add_signal(self, signal: Signal) -> Signal:
        """Takes the newest signal. Returns it as it counts: a window's with the belief as its score.

        A score that is not a number raises the category, because unknown is not harmless. It never flags or
        cuts.
        """
        policy = self._policy
        self._heard = signal.kind is ModelKind.AUDIO
        gathered = self._gathered(signal)
        believed = self._belief.windows > 0
        of_window = signal.samples is not None
        warm = signal.samples is None or signal.samples >= policy.belief.warm_up_samples
        at_rest = gathered.score < policy.release_at or (of_window and not believed)
        score = policy.raise_at if math.isnan(signal.score) else signal.score
        if score >= policy.raise_at:
            if not self.raised:
                self._raised_pts_ms = self._belief.added_from_pts_ms if of_window else signal.pts_ms
            self.raised = True
        elif score < policy.release_at and at_rest:
            self.raised = self.flagged = self.cut_withheld = False
        if self.raised and of_window:
            since_ms = self._raised_pts_ms
            gathered = replace(gathered, begin_pts_ms=max(gathered.begin_pts_ms or since_ms, since_ms))
        self._said = gathered if warm or believed else None
        if self._said is not None and gathered.score >= policy.flag_limit:
            self.suspicion = Suspicion.STANDING
        else:
            self.suspicion = Suspicion.RAISED if score >= policy.raise_at else Suspicion.NONE
        return gathered

    def _gathered(self, signal: Signal) -> Signal:
        if signal.samples is None:
            return signal
        belief = self._belief
        score = belief.add_window(signal.pts_ms, signal.score, signal.samples)
        since_ms = belief.begin_pts_ms
        said = "no window speaks for it"
        if since_ms is not None:
            said = f"belief of {belief.windows} windows in {(signal.pts_ms - since_ms) / 1000:.1f} s"
        detail = f"{said}; the newest: {signal.score:.3f} of {signal.detail}"
        return replace(signal, score=score, begin_pts_ms=since_ms, detail=detail)

    def holds_back(self, *, games: bool) -> bool:
        """Whether an episode is running that may end in a cut by this category alone. In games nothing that
        is heard does."""
        return self.raised and self._policy.alone is Action.CUT and not (games and self._heard)

    @property
    def flag_due(self) -> Signal | None:
        """The signal that calls for a FLAG now. None when none is due, or the episode has had its FLAG."""
        if self.flagged or self._policy.alone is Action.PASS:
            return None
        return self._said_from(self._policy.flag_limit)

    @property
    def cut_due(self) -> Signal | None:
        """The signal that calls for a CUT now. None when there is none, or the episode has had its CUT."""
        if self.cut_withheld or self._policy.alone is not Action.CUT:
            return None
        return self._said_from(self._policy.cut_at)

    def _said_from(self, limit: float) -> Signal | None:
        said = self._said
        return said if said is not None and said.score >= limit else None

    def follow(self, policy: CategoryPolicy) -> None:
        """Applies a new policy. The episode and what was gathered continue."""
        self._policy = policy
        self._belief.follow(policy.belief)
