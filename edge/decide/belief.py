"""How strongly a category is believed on one stream, from scores over seconds. Pure: time is an argument.

Single windows are over-confident, above all the first of a stream, which hold one or two samples. So their
log-odds are gathered: each counts for the media that it adds, old ones fade, and the sum is held against
media that said nothing. A belief over a limit is then a sequential test (Page 1954, with forgetting): the
limit sets how often calm footage passes it by chance. As in Page's test, what speaks against the category
is not saved up: a belief that falls to ``neutral`` starts anew, so calm before a fight does not delay it.
"""

from __future__ import annotations

import math

from edge.policy import BeliefPolicy, log_odds_of, probability_of


class Belief:
    """The gathered log-odds of one category on one stream. It keeps a few numbers, however long it runs."""

    def __init__(self, policy: BeliefPolicy) -> None:
        self._policy = policy
        self._said = 0.0
        """Sum of log-odds, each times the media in milliseconds that it counts for."""
        self._heard_ms = 0.0
        """Media that said something, as far as it has not faded."""
        self._pts_ms: int | None = None
        self._begin_pts_ms: int | None = None
        self._added_from_pts_ms = 0
        self._windows = 0

    @property
    def score(self) -> float:
        """The belief as a probability, 0 to 1."""
        policy = self._policy
        return probability_of(
            (policy.neutral_ms * policy.neutral + self._said) / (policy.neutral_ms + self._heard_ms)
        )

    @property
    def begin_pts_ms(self) -> int | None:
        """Where the media begins that windows spoke for. None if the category is not believed at all."""
        return self._begin_pts_ms

    @property
    def added_from_pts_ms(self) -> int:
        """Where the media begins that the newest window adds: after the window before."""
        return self._added_from_pts_ms

    @property
    def windows(self) -> int:
        """Number of windows since then that said something."""
        return self._windows

    def add_window(self, pts_ms: int, score: float, samples: int) -> float:
        """Takes a window's calibrated probability and its number of samples. Returns the new belief.

        NaN and windows in warm-up say nothing, but time passes. A time that goes back starts anew.
        """
        policy = self._policy
        passed = self._pass_to(pts_ms)
        if samples < policy.warm_up_samples or math.isnan(score):
            return self.score
        said = min(max(log_odds_of(score), -policy.most), policy.most)
        self._said += said * passed
        self._heard_ms += passed
        if self._said <= policy.neutral * self._heard_ms:
            self._start_anew()
            return self.score
        self._windows += 1
        if self._begin_pts_ms is None:
            self._begin_pts_ms = self._added_from_pts_ms
        return self.score

    def follow(self, policy: BeliefPolicy) -> None:
        """Applies a new policy to what was gathered."""
        self._policy = policy

    def _start_anew(self) -> None:
        self._said = self._heard_ms = 0.0
        self._begin_pts_ms, self._windows = None, 0

    def _pass_to(self, pts_ms: int) -> float:
        """Lets time pass. Returns the media in milliseconds that a window at this time adds."""
        if self._pts_ms is not None and pts_ms < self._pts_ms:
            self._start_anew()
            self._pts_ms = None
        before, self._pts_ms = self._pts_ms, pts_ms
        self._added_from_pts_ms = pts_ms
        if before is None:
            return 0.0
        self._added_from_pts_ms = min(pts_ms, max(before + 1, pts_ms - self._policy.step_ms))
        kept = math.exp(-(pts_ms - before) / self._policy.fade_ms)
        self._said *= kept
        self._heard_ms *= kept
        return float(min(pts_ms - before, self._policy.step_ms))
