"""Scored, labelled footage, and what each candidate does on it. Caches every answer. Pure.

A file that is not cut at a threshold is not cut at a higher one. So a binary
search finds the highest threshold that cuts the file, and only lower thresholds need counting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from edge.domain import Action
from edge.policy import BeliefPolicy, CategoryPolicy
from edge.tuning.labels import LabelledFile, Truth, label_spans
from edge.tuning.outcome import Outcome, outcome
from edge.tuning.simulate import SimulatedDecision, Simulator, Step, StreamTrace, Tiering, decisions_of
from edge.tuning.track import Track

THRESHOLDS = (*(step / 50 for step in range(1, 50)), 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 1.0)
"""Candidates for every threshold, ascending."""
_NEVER = 1.0


@dataclass(frozen=True, slots=True)
class Scored:
    """One file: its labels and what the pipeline saw of it."""

    footage: LabelledFile
    track: Track
    truth: Truth


class Study:
    """All scored files of one data set. Rows are indices into them."""

    def __init__(self, simulator: Simulator, scored: Iterable[tuple[LabelledFile, Track]]) -> None:
        self.simulator = simulator
        self.grace_ms = simulator.window_ms
        self.files = [
            Scored(footage, track, label_spans(footage.spans, track.duration_ms, self.grace_ms))
            for footage, track in scored
        ]
        self._traces: dict[tuple[int, Tiering, int], StreamTrace] = {}
        self._flaggable: dict[tuple[int, BeliefPolicy], list[float | None]] = {}
        self._cuttable: dict[tuple[int, Tiering], float | None] = {}
        self._outcomes: dict[tuple[int, CategoryPolicy, bool], Outcome] = {}

    @cached_property
    def rows(self) -> tuple[int, ...]:
        return tuple(range(len(self.files)))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of groups, in order of first appearance."""
        return tuple(dict.fromkeys(one.footage.group for one in self.files))

    @cached_property
    def _dense(self) -> list[tuple[Step, ...]]:
        return [self.simulator.dense(one.track) if one.truth.violent else () for one in self.files]

    @cached_property
    def calm_peaks(self) -> list[list[float | None]]:
        """Highest calm-tier score of each violent stretch, one list per file. None for a stretch without a
        sample."""
        found: list[list[float | None]] = []
        for one in self.files:
            steps = self.simulator.calm(one.track) if one.truth.violent else ()
            found.append(
                [
                    max((s.signals[0].score for s in steps if start <= s.pts_ms <= end), default=None)
                    for start, end in one.truth.violent
                ]
            )
        return found

    def flaggable(self, row: int, belief: BeliefPolicy) -> list[float | None]:
        """For each violent stretch, the highest of THRESHOLDS at which dense sampling flags it."""
        key = (row, belief)
        if key not in self._flaggable:
            self._flaggable[key] = [
                self._flaggable_at(self._dense[row], start, end + self.grace_ms, belief)
                for start, end in self.files[row].truth.violent
            ]
        return self._flaggable[key]

    def _flaggable_at(
        self, steps: Sequence[Step], start: int, end: int, belief: BeliefPolicy
    ) -> float | None:
        inside = [step for step in steps if start <= step.pts_ms <= end]

        def flags(threshold: float) -> bool:
            part = CategoryPolicy(
                raise_at=threshold,
                release_at=threshold,
                flag_at=threshold,
                cut_at=_NEVER,
                belief=belief,
            )
            return bool(decisions_of(inside, self.simulator.policy(part)))

        return _highest(flags)

    def trace(self, row: int, tiering: Tiering, start_ms: int = 0) -> StreamTrace:
        track = self.files[row].track
        if start_ms == 0 and not tiering.from_calm and self.simulator.is_new_throughout(track):
            tiering = Tiering(1.0, 1.0, 1.0, tiering.belief)
        key = (row, tiering, start_ms)
        if key not in self._traces:
            self._traces[key] = self.simulator.trace(track, tiering, start_ms)
        return self._traces[key]

    def cuttable(self, row: int, part: CategoryPolicy) -> float | None:
        """The highest of THRESHOLDS that cuts the file at all, whatever ``part.cut_at`` says."""
        tiering = Tiering.of(part)
        key = (row, tiering)
        if key not in self._cuttable:
            trace = self.trace(row, tiering)

            def cuts(threshold: float) -> bool:
                if trace.highest < threshold:
                    return False
                tried = self.simulator.policy(part.model_copy(update={"cut_at": threshold}))
                return any(decision.action is Action.CUT for decision in decisions_of(trace.steps, tried))

            self._cuttable[key] = _highest(cuts, [value for value in THRESHOLDS if value >= part.flag_at])
        return self._cuttable[key]

    def outcome(self, row: int, part: CategoryPolicy, *, from_calm: bool = False) -> Outcome:
        """What the whole policy does to one file. A new stream begins after each CUT."""
        key = (row, part, from_calm)
        if key not in self._outcomes:
            one = self.files[row]
            done, alert_ms = self._done(row, part, from_calm)
            self._outcomes[key] = outcome(
                one.footage.group, one.truth, done, self.grace_ms, alert_ms, one.track.duration_ms
            )
        return self._outcomes[key]

    def outcomes(
        self, rows: Iterable[int], part: CategoryPolicy, *, from_calm: bool = False
    ) -> list[Outcome]:
        return [self.outcome(row, part, from_calm=from_calm) for row in rows]

    def first_decisions(self, row: int, part: CategoryPolicy) -> dict[Action, int]:
        """Time of the first FLAG and CUT of the file's first stream, in milliseconds."""
        trace = self.trace(row, Tiering.of(part))
        first: dict[Action, int] = {}
        for decision in decisions_of(trace.steps, self.simulator.policy(part)):
            first.setdefault(decision.action, decision.pts_ms)
        return first

    def _done(self, row: int, part: CategoryPolicy, from_calm: bool) -> tuple[list[SimulatedDecision], int]:
        tiering = Tiering.of(part, from_calm=from_calm)
        policy = self.simulator.policy(part)
        done: list[SimulatedDecision] = []
        start_ms = alert_ms = 0
        while True:
            trace = self.trace(row, tiering, start_ms)
            found = decisions_of(trace.steps, policy) if trace.highest >= part.flag_limit else []
            done += found
            if not found or found[-1].action is not Action.CUT:
                return done, alert_ms + trace.alert_ms
            cut_ms = found[-1].pts_ms
            alert_ms += min(trace.alert_ms, cut_ms - start_ms)
            start_ms = cut_ms + 1


def _highest(holds: Callable[[float], bool], among: Sequence[float] = THRESHOLDS) -> float | None:
    low, high = 0, len(among)  # true below low, false from high on
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if holds(among[middle]) else (low, middle)
    return among[low - 1] if low else None
