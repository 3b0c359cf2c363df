"""What labelled clips and sounds say of each category of a pack. Pure.

A clip with a category's label is a positive of it, and a calm clip a negative of every category. What else a
clip shows tells nothing of a category, so it counts neither way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.detect.measures import roc_auc
from edge.intervals import bootstrap, poisson
from edge.policy import CategoryPolicy
from edge.tuning.evaluation import LabelledClip, as_list

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Judged:
    clip: LabelledClip
    positive: bool
    score: float
    flagged: bool
    cut: bool
    flags: int
    hours: float


def category_figures(
    clips: Sequence[LabelledClip],
    reports: Sequence[Report],
    rules: Mapping[str, CategoryPolicy],
    motion: Collection[str],
    score: str = "score_mean",
) -> dict[str, dict[str, Any]]:
    """Returns for each category of ``rules`` how well it is told from calm, and how often calm is flagged.

    Reports are in the clips' order; those with ``error`` are left out. The categories ``motion`` rank by
    ``score``, the others by their highest score, which has counted already what persists.
    """
    found = {}
    for name, rule in rules.items():
        by = score if name in motion else "score_max"
        judged = [
            _judged(clip, report, name, by, flags(report, name))
            for clip, report in zip(clips, reports, strict=True)
            if "error" not in report and (clip.shows(name) or clip.calm)
        ]
        found[name] = _figures(judged) | {
            "score": by,
            "flag_at": rule.flag_limit,
            "by_source": _by_source(judged),
        }
    return found


def false_flags(reports: Sequence[Report], names: Collection[str]) -> dict[str, Any]:
    """False flags of each category and of all on calm footage: number, and rate an hour with interval."""
    kept = [report for report in reports if "error" not in report]
    hours = sum(report["duration_s"] or 0.0 for report in kept) / 3600
    counts = {name: sum(flags(report, name) for report in kept) for name in names}
    return {
        name: {"flags": count, "flags_per_hour": _rate(count, hours)}
        for name, count in {**counts, "all": sum(counts.values())}.items()
    }


def apart_figures(
    clips: Sequence[LabelledClip],
    reports: Sequence[Report],
    rules: Mapping[str, CategoryPolicy],
    labels: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """For each of these labels how many clips have it, and how many of them each category flags."""
    found = {}
    for label in labels:
        kept = [
            report
            for clip, report in zip(clips, reports, strict=True)
            if clip.shows(label) and "error" not in report
        ]
        flagged = {name: sum(_acted(report, name) for report in kept) for name in rules}
        found[label] = {"clips": len(kept), "flagged": flagged}
    return found


def judged_by(names: Collection[str], report: Report) -> Report:
    """The report as if these categories alone had been judged. One with ``error`` stays as it is."""
    if "error" in report:
        return report
    said = [report["categories"][name] for name in names if name in report["categories"]]
    values: dict[str, Any] = {
        key: max((part[key] for part in said), default=0.0) for key in ("score_max", "score_mean")
    }
    for key in ("first_flag_s", "first_cut_s"):
        values[key] = min((part[key] for part in said if part[key] is not None), default=None)
    return {**report, **values}


def flags(report: Report, name: str) -> int:
    """How often a category asks for a person in a file, or for a cut: once for each of its episodes.

    The report has ``verdicts``, as ``replay --windows`` gives them.
    """
    return sum(category == name for _, _, category in report["verdicts"])


def _judged(clip: LabelledClip, report: Report, name: str, by: str, flagged: int) -> _Judged:
    said = report["categories"].get(name, {})
    return _Judged(
        clip,
        clip.shows(name),
        float(said.get(by, 0.0)),
        _acted(report, name),
        said.get("first_cut_s") is not None,
        flagged,
        (report["duration_s"] or 0.0) / 3600,
    )


def _acted(report: Report, name: str) -> bool:
    said = report["categories"].get(name, {})
    return any(said.get(time) is not None for time in ("first_flag_s", "first_cut_s"))


def _figures(judged: Sequence[_Judged]) -> dict[str, Any]:
    positives = [one for one in judged if one.positive]
    negatives = [one for one in judged if not one.positive]
    found = _counts(judged)
    if positives:
        found["recall"] = as_list(
            bootstrap(
                lambda hits, _: float(hits.mean()) if len(hits) else float("nan"),
                np.array([one.flagged for one in positives], dtype=bool),
                np.array([one.score for one in positives]),
                _groups(positives),
            )
        )
    if positives and negatives:
        labels = np.array([one.positive for one in judged], dtype=bool)
        scores = np.array([one.score for one in judged], dtype=np.float64)
        found["auc"] = as_list(bootstrap(roc_auc, labels, scores, _groups(judged)))
    if negatives:
        found["false_flags_per_hour"] = _rate(
            sum(one.flags for one in negatives), sum(one.hours for one in negatives)
        )
    return found


def _counts(judged: Sequence[_Judged]) -> dict[str, Any]:
    positives = [one for one in judged if one.positive]
    negatives = [one for one in judged if not one.positive]
    return {
        "positives": len(positives),
        "positives_flagged": sum(one.flagged for one in positives),
        "positives_cut": sum(one.cut for one in positives),
        "negatives": len(negatives),
        "negatives_flagged": sum(one.flagged for one in negatives),
        "negatives_cut": sum(one.cut for one in negatives),
        "negative_hours": round(sum(one.hours for one in negatives), 4),
    }


def _by_source(judged: Sequence[_Judged]) -> dict[str, dict[str, Any]]:
    sources = sorted({one.clip.source for one in judged})
    return {name: _counts([one for one in judged if one.clip.source == name]) for name in sources}


def _groups(judged: Sequence[_Judged]) -> NDArray[np.str_]:
    return np.array([one.clip.group for one in judged], dtype=np.str_)


def _rate(count: int, hours: float) -> list[float] | None:
    """Rate an hour with its exact Poisson interval. None without any hour."""
    if not hours:
        return None
    return [round(value / hours, 3) for value in (count, *poisson(count))]
