"""A publisher who shows known footage part of the time, before a gate without media.

Sampler, looks, tiers and vote are real. The decoder only counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edge.decide import Suspicion
from edge.match import Candidate, MatchVote
from edge.policy import LookPolicy, TierPolicy
from edge.stream.draws import Draws, Purpose
from edge.stream.look_budget import LookBudget, RiskFactors, interval_ms, risk_of
from edge.stream.sampling import Disposition, Sampler
from edge.stream.tiers import TierState

DELTA_MS = 100
Shown = Callable[[int, int], bool]
"""Whether the frame of this number, at this pts, shows known footage."""
TRUSTED = RiskFactors(clean_ms=24 * 3_600_000)


def units(fps: float, gop: int, start_ms: int = 0) -> Iterator[tuple[int, int, bool]]:
    """Yields number, pts and whether it is a keyframe of each access unit, without end."""
    number = 0
    while True:
        yield number, start_ms + round(number * 1000 / fps), number % gop == 0
        number += 1


@dataclass
class Watched:
    """One stream in a worker that grants ``spare_ms`` of each GOP."""

    seed: bytes
    looks: LookPolicy = field(default_factory=LookPolicy)
    tiers: TierPolicy = field(default_factory=lambda: TierPolicy(start_alert_ms=0))
    factors: RiskFactors = TRUSTED
    spare_ms: int = 0
    old: bool = True
    """The stream is past its first minutes, as after a worker change."""
    keyframes: int = 0
    inter: int = 0
    samples: int = 0
    look_samples: int = 0

    def __post_init__(self) -> None:
        self._draws = Draws(self.seed)
        self._budget = LookBudget(self._draws, 0)
        self._sampler = Sampler(self.tiers, DELTA_MS, self._draws, self._budget)
        self._state = TierState(self.tiers, self._draws, calm=True)
        self._state.spare(self.spare_ms)
        self._vote = MatchVote()
        self._near_ms: int | None = None
        self._backlog: list[tuple[int, int, bool]] = []
        self._matched: tuple[float, int, int] | None = None

    def cut_ms(self, fps: float, gop: int, shown: Shown, until_ms: int) -> int | None:
        """Returns the media time of the cut. None: not cut until ``until_ms``."""
        for unit in units(fps, gop):
            if unit[1] > until_ms:
                return None
            if self.unit(*unit, shown):
                return unit[1]
        raise AssertionError

    def unit(self, number: int, pts_ms: int, keyframe: bool, shown: Shown) -> bool:
        """Takes an access unit. Returns whether the stream is cut."""
        if keyframe:
            near = self._near_ms is not None and pts_ms - self._near_ms <= 30_000
            age_ms = pts_ms + (self.looks.new_ms if self.old else 0)
            risk = risk_of(self.looks, self.factors, age_ms, hides=False, near=near)
            self._budget.interval_ms = round(interval_ms(self.looks, risk) * self._sampler.look_cost)
        tier = self._state.at(pts_ms, keyframe)
        plan = self._sampler.unit(pts_ms, keyframe, tier)
        unit = (number, pts_ms, keyframe)
        match plan.feed:
            case Disposition.SKIP:
                self._backlog = [unit] if keyframe else [*self._backlog, unit]
                self._matched = None
                return False
            case Disposition.CATCH_UP:
                self._backlog.append(unit)
                fed, self._backlog = self._backlog[: plan.backlog], self._backlog[plan.backlog :]
            case _:
                fed, self._backlog = [unit], []
        return any([self._frame(*one, shown) for one in fed])

    def _frame(self, number: int, pts_ms: int, keyframe: bool, shown: Shown) -> bool:
        self.keyframes += keyframe
        self.inter += not keyframe
        after_ms, looking = self._sampler.matchable_after_ms, self._sampler.looking
        roles = self._sampler.frame(pts_ms)
        if after_ms is not None and pts_ms > after_ms:
            drawn = (self._draws.share(Purpose.MATCHED_FRAME, pts_ms), number, pts_ms)
            self._matched = drawn if self._matched is None else max(self._matched, drawn)
        if roles.sample is None:
            return False
        self.samples += 1
        self.look_samples += looking
        _, matched, at_ms = self._matched or (0.0, number, pts_ms)
        self._matched = None
        known = [Candidate("clip", "known", "fight", 8, at_ms)] if shown(matched, at_ms) else []
        counted = bool(self._vote.add_candidates(at_ms, known))
        if self._vote.near:
            self._near_ms = at_ms
        self._state.observe(roles.sample[2], Suspicion.STANDING if self._vote.near else Suspicion.NONE)
        return counted
