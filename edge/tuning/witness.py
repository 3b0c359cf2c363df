"""Chooses the flag threshold of a category of audio or single frames by false flags of calm. Pure.

Scores do not depend on the threshold, so recordings are judged once, and the gate's own state of a category
counts the flags at every candidate. Its persistence has been counted in the scores already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edge.decide import CategoryState
from edge.detect.measures import spell_hours, spell_rate
from edge.domain import ModelKind, Signal, SignalSource
from edge.errors import InvalidInput
from edge.intervals import bootstrap, poisson, rate_upper_bound, wilson
from edge.policy import CategoryPolicy
from edge.tuning.study import THRESHOLDS

FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class JudgedRecording:
    """What was said of one recording."""

    group: str
    hours: float
    positive: bool
    """Whether it shows the category. If not, it is calm."""
    signals: tuple[Signal, ...]
    """Of each judged window or frame, in order of time."""


@dataclass(frozen=True, slots=True)
class WitnessCounts:
    """How often recordings are flagged at one threshold."""

    flags: int
    """False flags of calm recordings."""
    hours: float
    """Length of the calm recordings."""
    hits: tuple[bool, ...]
    """For each positive recording whether it is flagged."""
    groups: tuple[str, ...]
    """Groups of the positive recordings."""

    @property
    def rate(self) -> float:
        return self.flags / self.hours if self.hours else 0.0

    @property
    def bound(self) -> float:
        """The rate that the recordings show at 95 %."""
        return rate_upper_bound(self.flags, self.hours)

    def __add__(self, other: WitnessCounts) -> WitnessCounts:
        return WitnessCounts(
            self.flags + other.flags,
            self.hours + other.hours,
            self.hits + other.hits,
            self.groups + other.groups,
        )

    def as_json(self) -> dict[str, Any]:
        """Figures with 95 % intervals: rates have exact Poisson bounds, recall resamples whole groups."""
        rates = [value / self.hours for value in (self.flags, *poisson(self.flags))] if self.hours else None
        return {
            "false_flags": self.flags,
            "calm_hours": round(self.hours, 4),
            "false_flags_per_hour": None if rates is None else [round(value, 3) for value in rates],
            "positives": len(self.hits),
            "positives_flagged": sum(self.hits),
            "recall": self._recall(),
        }

    def _recall(self) -> list[float] | None:
        if not self.hits:
            return None
        hits = np.array(self.hits)
        value, low, high = bootstrap(
            lambda found, _: float(found.mean()), hits, hits.astype(np.float64), np.array(self.groups)
        )
        least, most = wilson(int(hits.sum()), len(hits))  # few groups say too little of themselves
        return [round(each, 4) for each in (value, min(low, least), max(high, most))]


NOTHING: Final = WitnessCounts(0, 0.0, (), ())


@dataclass(frozen=True, slots=True)
class WitnessTuning:
    """A proposal, and how it does."""

    flag_at: float
    figures: WitnessCounts
    """Each recording judged by what was chosen without its group, or ``fitted`` with fewer than two groups
    of calm."""
    cross_validated: bool
    fitted: WitnessCounts
    """On the recordings that it was chosen from, so too optimistic."""
    current: WitnessCounts
    curve: tuple[tuple[float, WitnessCounts], ...]
    """All candidates, ascending."""

    def shows(self, wanted: float) -> bool:
        """Whether recordings that chose nothing show at 95 % that there are at most so many an hour."""
        return self.figures.bound <= wanted

    def text(self, wanted: float) -> str:
        """One sentence for people on what is shown."""
        found = self.figures
        shows = (
            f"{found.flags} false flags in {spell_hours(found.hours)} of calm recordings show at most "
            f"{spell_rate(found.bound)} an hour (95 %)"
        )
        if self.shows(wanted):
            return f"{shows}; {wanted:g} were asked for."
        if found.flags > wanted * found.hours:
            return (
                f"{shows}; {wanted:g} were asked for, and recordings that chose nothing had more than that."
            )
        return (
            f"Too little calm to promise {wanted:g} false flags an hour: {shows}. "
            f"{3 / wanted:.4g} h without one would show it."
        )


def tune_witness(recordings: Sequence[JudgedRecording], part: CategoryPolicy, wanted: float) -> WitnessTuning:
    """Proposes a ``flag_at`` with at most ``wanted`` false flags an hour of calm.

    Raises InvalidInput without calm recordings.
    """
    if not any(one.hours for one in recordings if not one.positive):
        raise InvalidInput("DATA", "no calm recording that could be judged")
    tried = {at: [_judged(one, part, at) for one in recordings] for at in (*candidates(part), part.flag_at)}
    curve = tuple((at, _sum(tried[at])) for at in candidates(part))
    chosen = choose(curve, wanted, part.flag_at)
    groups = sorted({one.group for one in recordings if not one.positive})
    parts = [set(groups[number::FOLDS]) for number in range(min(FOLDS, len(groups)))]
    left_out = NOTHING
    if len(parts) > 1:
        positives = sorted({one.group for one in recordings if one.positive} - set(groups))
        for number, test in enumerate(parts):
            test |= set(positives[number :: len(parts)])
            rest = [row for row, one in enumerate(recordings) if one.group not in test]
            seen = [row for row, one in enumerate(recordings) if one.group in test]
            at = choose([(at, _sum(tried[at][row] for row in rest)) for at, _ in curve], wanted, part.flag_at)
            left_out += _sum(tried[at][row] for row in seen)
    fitted = _sum(tried[chosen])
    cross = len(parts) > 1
    return WitnessTuning(
        chosen, left_out if cross else fitted, cross, fitted, _sum(tried[part.flag_at]), curve
    )


def candidates(part: CategoryPolicy) -> tuple[float, ...]:
    """The thresholds that a category may have: not under ``raise_at``, not over ``cut_at``."""
    fitting = tuple(at for at in THRESHOLDS if part.raise_at <= at <= part.cut_at)
    return fitting or (part.flag_at,)


def choose(curve: Iterable[tuple[float, WitnessCounts]], wanted: float, current: float) -> float:
    """The lowest threshold that the recordings show to keep the rate. Where none does, that with the fewest
    false flags, but none under the current one: too little calm lowers nothing."""
    found = list(curve)
    least = min(one.bound for _, one in found)
    if least <= wanted:
        return min(at for at, one in found if one.bound <= wanted)
    fewest = [at for at, one in found if one.bound <= least]
    return min((at for at in fewest if at >= current), default=max(fewest))


def recording_of(
    report: Mapping[str, Any], name: str, kind: ModelKind, group: str, *, positive: bool
) -> JudgedRecording:
    """What a report of ``replay --json --windows`` says of a category."""
    signals = tuple(
        Signal(SignalSource.DETECT, name, round(1000 * at_s), score, kind=kind)
        for at_s, score, category in report["windows"]
        if category == name
    )
    return JudgedRecording(group, (report["duration_s"] or 0.0) / 3600, positive, signals)


def _judged(one: JudgedRecording, part: CategoryPolicy, flag_at: float) -> WitnessCounts:
    flags = flags_of(one, part.model_copy(update={"flag_at": flag_at}))
    if one.positive:
        return WitnessCounts(0, 0.0, (flags > 0,), (one.group,))
    return WitnessCounts(flags, one.hours, (), ())


def flags_of(one: JudgedRecording, part: CategoryPolicy) -> int:
    """How often the gate flags a recording."""
    state, count = CategoryState(part), 0
    for signal in one.signals:
        state.add_signal(signal)
        if state.flag_due is not None:
            state.flagged = True
            count += 1
    return count


def _sum(found: Iterable[WitnessCounts]) -> WitnessCounts:
    flags, hours = 0, 0.0
    hits: list[bool] = []
    groups: list[str] = []
    for one in found:
        flags += one.flags
        hours += one.hours
        hits += one.hits
        groups += one.groups
    return WitnessCounts(flags, hours, tuple(hits), tuple(groups))
