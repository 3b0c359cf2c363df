"""A whole tuning: proposal, figures on seen and unseen footage, trade-off curves. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.errors import InvalidInput
from edge.policy import CategoryPolicy
from edge.tuning.figures import Counts, Figures, counts, figures
from edge.tuning.guarantee import Guarantee, Support, evidence
from edge.tuning.outcome import Outcome
from edge.tuning.search import Proposal, Search
from edge.tuning.study import THRESHOLDS, Study

FOLDS = 5
Step = Callable[[str], None]
"""Called before each part of the work, with its name."""
STEPS = FOLDS + 3


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate on a trade-off curve, on all footage."""

    threshold: float
    recall: float
    false_per_hour: float


@dataclass(frozen=True, slots=True)
class Tuning:
    proposal: Proposal
    unseen: Figures | None
    """Cross-validated by group: each file is judged by a choice made without its group. None with too few
    groups."""
    fitted: Figures
    """On the footage that the proposal was chosen from, so too optimistic."""
    current: Figures
    """Figures of the policy in force, which was not chosen on this footage."""
    from_calm: Figures
    """Figures of the proposal, if every file were part of a stream that was calm before."""
    folds: tuple[CategoryPolicy, ...]
    outcomes: tuple[tuple[int, Outcome], ...]
    """The outcome of each row behind ``figures``."""
    evidence: Support
    cut_curve: tuple[Point, ...]
    flag_curve: tuple[Point, ...]

    @property
    def figures(self) -> Figures:
        """The figures to rely on: unseen footage if there are any, else fitted."""
        return self.unseen or self.fitted


def tune(study: Study, promise: Guarantee, current: CategoryPolicy, flag_recall: float, step: Step) -> Tuning:
    """Runs the whole tuning. Raises InvalidInput without violent or without calm footage."""
    for name, there in (
        ("violent", any(one.truth.violent for one in study.files)),
        ("calm", any(one.truth.calm for one in study.files)),
    ):
        if not there:
            raise InvalidInput("DATA", f"no {name} footage that could be judged; both are needed")
    search = Search(study, promise, flag_recall, current)
    step("choosing")
    proposal = search.choose(study.rows)
    outcomes: list[tuple[int, Outcome]] = []
    chosen: list[CategoryPolicy] = []
    for number, (train, test) in enumerate(folds(study), start=1):
        step(f"fold {number}")
        chosen.append(search.choose(train).part)
        outcomes += zip(test, study.outcomes(test, chosen[-1]), strict=True)
    step("figures")
    seen = study.outcomes(study.rows, proposal.part)
    fitted = figures(seen)
    unseen = figures([found for _, found in outcomes]) if outcomes else None
    now = figures(study.outcomes(study.rows, current))
    from_calm = figures(study.outcomes(study.rows, proposal.part, from_calm=True))
    step("trade-off")
    return Tuning(
        proposal=proposal,
        unseen=unseen,
        fitted=fitted,
        current=now,
        from_calm=from_calm,
        folds=tuple(chosen),
        outcomes=tuple(sorted(outcomes, key=lambda one: one[0]) or enumerate(seen)),
        evidence=evidence(promise, unseen or fitted),
        cut_curve=tuple(_cut_curve(search, proposal.part)),
        flag_curve=tuple(_flag_curve(study, proposal.part)),
    )


def folds(study: Study, count: int = FOLDS) -> list[tuple[list[int], list[int]]]:
    """Splits the rows into folds: rows to choose from and rows to measure on.

    Groups stay whole; violent and calm ones are spread evenly. Empty if fewer than two groups are violent or
    calm, because a choice without one of the two is meaningless.
    """
    weight: dict[str, list[int]] = {name: [0, 0] for name in study.groups}
    for one in study.files:
        weight[one.footage.group][0] += len(one.truth.violent)
        weight[one.footage.group][1] += one.truth.calm_ms
    for kind in (0, 1):
        if sum(part[kind] > 0 for part in weight.values()) < 2:
            return []
    ranked = sorted(weight, key=lambda name: (weight[name][0] == 0, -weight[name][0], -weight[name][1], name))
    fold_of: dict[str, int] = {}
    totals = [[0, 0] for _ in range(count)]
    for name in ranked:
        kind = 0 if weight[name][0] else 1
        fold = min(range(count), key=lambda index: (totals[index][kind], totals[index][1 - kind], index))
        fold_of[name] = fold
        totals[fold][0] += weight[name][0]
        totals[fold][1] += weight[name][1]
    parts = []
    for fold in sorted(set(fold_of.values())):
        test = [row for row, one in enumerate(study.files) if fold_of[one.footage.group] == fold]
        train = [row for row in study.rows if row not in set(test)]
        if _has_both(study, train):
            parts.append((train, test))
    return parts


def _has_both(study: Study, rows: Sequence[int]) -> bool:
    return any(study.files[row].truth.violent for row in rows) and any(
        study.files[row].truth.calm for row in rows
    )


def _cut_curve(search: Search, chosen: CategoryPolicy) -> list[Point]:
    points = []
    for part in search.cuts(chosen):
        found = counts(search.cut_outcomes(search.study.rows, part))
        points.append(_point(part.cut_at, found.cut, found.false_cuts, found))
    return points


def _flag_curve(study: Study, chosen: CategoryPolicy) -> list[Point]:
    points = []
    for threshold in THRESHOLDS[::3]:
        if chosen.raise_at <= threshold <= chosen.cut_at:
            part = chosen.model_copy(update={"flag_at": threshold})
            found = counts(study.outcomes(study.rows, part))
            points.append(_point(threshold, found.flagged, found.false_flags, found))
    return points


def _point(threshold: float, hits: int, false: int, found: Counts) -> Point:
    return Point(threshold, hits / max(found.events, 1), false / max(found.calm_hours, 1e-9))
