"""Simulates the gate's decisions on a scored file under given thresholds. Pure.

The real window, tier state and decider judge the cached samples; nothing of them is rebuilt here. The
simulation assumes:

- Alert samples lie on the grid of a stream that is always in alert tier. They are off by up to one
  ``alert_interval_ms`` for a stream that becomes alert in between.
- Decoding never falls behind.
- Matches and other categories play no part.

A CUT ends a stream. The rest of the file is then judged as a new stream, so every hour of calm footage
counts in full.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.decide import Decider
from edge.detect import DetectWindow, MotionSpec, SampleScore
from edge.domain import Action, Signal, Tier
from edge.policy import BeliefPolicy, CategoryPolicy, MatchPolicy, Policy, TierPolicy
from edge.stream import JUMP_HOLD_MS, JUMP_WISH_MS, TierState
from edge.tuning.track import Track, reduced


@dataclass(frozen=True, slots=True)
class Step:
    """One judged sample."""

    pts_ms: int
    tier: Tier
    signals: tuple[Signal, ...]
    """Windows of the tuned category only."""


@dataclass(frozen=True, slots=True)
class StreamTrace:
    """The samples of a stream from ``start_ms`` on, if it is never cut."""

    steps: tuple[Step, ...]
    highest: float
    """Highest belief; -1 without a sample."""
    alert_ms: int
    """Time in alert tier."""


@dataclass(frozen=True, slots=True)
class Tiering:
    """The thresholds that decide a stream's tier."""

    raise_at: float
    release_at: float
    flag_at: float
    belief: BeliefPolicy
    from_calm: bool = False
    """Treat every file as part of a stream that was calm before."""

    @classmethod
    def of(cls, part: CategoryPolicy, *, from_calm: bool = False) -> Tiering:
        return cls(part.raise_at, part.release_at, part.flag_limit, part.belief, from_calm)


@dataclass(frozen=True, slots=True)
class SimulatedDecision:
    """A FLAG or CUT."""

    action: Action
    pts_ms: int
    until_ms: int
    """Last sample at which its episode was still going on."""
    in_episode: bool
    """Whether the episode already had its FLAG."""


class Simulator:
    """Judges tracks of one model for one of its categories."""

    def __init__(self, manifest: MotionSpec, category: str, tiers: TierPolicy) -> None:
        self._manifest = reduced(manifest)
        self._column = [part.name for part in manifest.categories].index(category)
        self.category = category
        self.tiers = tiers
        self.window_ms = manifest.window_ms

    def dense(self, track: Track) -> tuple[Step, ...]:
        """Every sample of a stream that is always in alert tier."""
        window = DetectWindow(self._manifest)
        return tuple(self._alert(track, index, window) for index in range(len(track.alert_ms)))

    def calm(self, track: Track) -> tuple[Step, ...]:
        """Every sample of a stream that is never in alert tier."""
        window = DetectWindow(self._manifest)
        return tuple(self._calm(track, index, window) for index in range(len(track.calm_ms)))

    def is_new_throughout(self, track: Track) -> bool:
        """Whether the file ends within a new stream's initial alert, whatever its scores."""
        last_ms = max((int(times[-1]) for times in (track.alert_ms, track.calm_ms) if len(times)), default=0)
        return last_ms < self.tiers.start_alert_ms

    def trace(self, track: Track, tiering: Tiering, start_ms: int = 0) -> StreamTrace:
        """The samples of a stream that begins at ``start_ms``, in the tiers that follow from its scores."""
        part = CategoryPolicy(
            raise_at=tiering.raise_at,
            release_at=tiering.release_at,
            flag_at=tiering.flag_at,
            cut_at=1.0,
            belief=tiering.belief,
        )
        tiers = self.tiers
        if tiering.from_calm and start_ms == 0:
            tiers = tiers.model_copy(update={"start_alert_ms": 0})
        decider = Decider(self.policy(part))
        window = DetectWindow(self._manifest)
        state = TierState(tiers)
        jumps = [int(pts) for pts in track.jumps_ms]
        alert_pts, calm_pts = track.alert_ms.tolist(), track.calm_ms.tolist()
        steps: list[Step] = []
        now, alert_ms, highest = start_ms - 1, 0, -1.0
        state.at(start_ms)
        while True:
            following = bisect_right(alert_pts, now)
            if following < len(alert_pts) and state.at(alert_pts[following]) is Tier.ALERT:
                step = self._alert(track, following, window)
                alert_ms += step.pts_ms - max(now, start_ms)
            else:
                following = bisect_right(calm_pts, now)
                if following == len(calm_pts):
                    break
                jump = next((pts for pts in jumps if now < pts <= calm_pts[following]), None)
                if jump is not None and state.at(jump) is Tier.CALM:
                    state.ask(JUMP_HOLD_MS, wish_ms=JUMP_WISH_MS)
                    now = max(jump - 1, now)
                    jumps = [pts for pts in jumps if pts > jump]
                    state.at(jump)
                    continue
                step = self._calm(track, following, window)
            steps.append(step)
            now = step.pts_ms
            decision = decider.decide(step.signals, now)
            highest = max(highest, decision.score)
            state.observe(now, decision.suspicion)
        return StreamTrace(tuple(steps), highest, alert_ms)

    def policy(self, part: CategoryPolicy) -> Policy:
        return Policy(categories={self.category: part}, match=MatchPolicy(enabled=False), tiers=self.tiers)

    def _alert(self, track: Track, index: int, window: DetectWindow) -> Step:
        embedding, logits = track.alert_reduced[index], track.alert_logits[index]
        return self._step(int(track.alert_ms[index]), Tier.ALERT, embedding, logits, window)

    def _calm(self, track: Track, index: int, window: DetectWindow) -> Step:
        embedding, logits = track.calm_reduced[index], track.calm_logits[index]
        return self._step(int(track.calm_ms[index]), Tier.CALM, embedding, logits, window)

    def _step(
        self,
        pts_ms: int,
        tier: Tier,
        embedding: NDArray[Any],
        logits: NDArray[Any],
        window: DetectWindow,
    ) -> Step:
        signals = window.add_sample(
            pts_ms, SampleScore(embedding, logits, np.zeros(0, dtype=np.float32)), tier
        )
        return Step(pts_ms, tier, (signals[self._column],))


def decisions_of(steps: Sequence[Step], policy: Policy) -> list[SimulatedDecision]:
    """The FLAGs and the CUT of one stream, in order. Nothing follows a CUT."""
    decider = Decider(policy)
    found: list[SimulatedDecision] = []
    lasts = False
    for step in steps:
        decision = decider.decide(step.signals, step.pts_ms)
        lasts = lasts and decision.suspicious
        if lasts:
            found[-1] = replace(found[-1], until_ms=step.pts_ms)
        if decision.action is not Action.PASS:
            found.append(SimulatedDecision(decision.action, step.pts_ms, step.pts_ms, in_episode=lasts))
            lasts = True
        if decision.action is Action.CUT:
            break
    return found
