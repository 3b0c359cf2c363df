"""The result of a tuning as plain values, for JSON and for the report. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edge.detect.measures import spell_rate
from edge.intervals import Interval
from edge.policy import CategoryPolicy, TierPolicy
from edge.replay import LeftOut
from edge.tuning.figures import Figures, counts
from edge.tuning.labels import printable
from edge.tuning.outcome import Outcome
from edge.tuning.study import Study
from edge.tuning.tuning import Tuning
from edge.tuning.verify import LiveCheck

TUNED = ("raise_at", "flag_at", "cut_at", "release_at")
ROWS = (
    ("flag_recall", "violent stretches flagged", "share"),
    ("cut_recall", "violent stretches cut", "share"),
    ("flag_precision", "precision of flags", "share"),
    ("cut_precision", "precision of cuts", "share"),
    ("false_flags_per_hour", "false flags, per calm stream-hour", "rate"),
    ("false_cuts_per_hour", "false cuts, per calm stream-hour", "rate"),
    ("flag_ms_median", "time to flag, median", "ms"),
    ("flag_ms_p95", "time to flag, p95", "ms"),
    ("cut_ms_median", "time to cut, median", "ms"),
    ("cut_ms_p95", "time to cut, p95", "ms"),
)
"""Key of a figure in a result, its label for people, and its kind."""
MAX_FILES = 50
"""Most files of each kind that a result lists."""


def result(
    study: Study,
    tuning: Tuning,
    current: CategoryPolicy,
    check: LiveCheck | None,
    failed: Sequence[Mapping[str, Any]],
    left_out: Sequence[LeftOut] = (),
) -> dict[str, Any]:
    """Collects everything about a tuning.

    Figures are ``[value, low, high]`` with their 95 % interval, or null if the data cannot give them. Times
    are in milliseconds.
    """
    part = tuning.proposal.part
    return {
        "category": study.simulator.category,
        "data": _data(study, failed, left_out),
        "proposal": tuned(part),
        "current": tuned(current),
        "basis": "cross_validated" if tuning.unseen else "fitted",
        "figures": _figures(tuning.figures),
        "fitted": _figures(tuning.fitted),
        "current_figures": _figures(tuning.current),
        "from_calm": _figures(tuning.from_calm),
        "by_source": _by_source(study, tuning),
        "files": _files(study, tuning),
        "folds": [tuned(fold) for fold in tuning.folds],
        "promise": {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(tuning.evidence).items()
        },
        "live_check": None if check is None else asdict(check),
        "warnings": _warnings(study, tuning, check, len(failed)),
        "assumptions": assumptions(study.simulator.tiers),
    }


def tuned(part: CategoryPolicy) -> dict[str, Any]:
    return {name: getattr(part, name) for name in TUNED}


def _data(study: Study, failed: Sequence[Mapping[str, Any]], left_out: Sequence[LeftOut]) -> dict[str, Any]:
    files = study.files
    sources = Counter(one.footage.source for one in files)
    return {
        "files": len(files) + len(failed),
        "failed": [{"path": printable(one["path"]), "error": printable(one["error"])} for one in failed],
        "left_out": [each.as_json() for each in left_out],
        "groups": len(study.groups),
        "violent_groups": len({one.footage.group for one in files if one.truth.violent}),
        "calm_groups": len({one.footage.group for one in files if one.truth.calm}),
        "sources": dict(sorted(sources.items())),
        "violent_stretches": sum(len(one.truth.violent) for one in files),
        "calm_hours": round(sum(one.truth.calm_ms for one in files) / 3_600_000, 4),
        "hours": round(sum(one.track.duration_ms for one in files) / 3_600_000, 4),
    }


def _by_source(study: Study, tuning: Tuning) -> dict[str, Any]:
    by_source: dict[str, list[Outcome]] = {}
    for row, found in tuning.outcomes:
        by_source.setdefault(study.files[row].footage.source, []).append(found)
    plain = {name: asdict(counts(found)) for name, found in sorted(by_source.items())}
    for part in plain.values():
        part["calm_hours"] = round(part["calm_hours"], 4)
    return plain


def _files(study: Study, tuning: Tuning) -> dict[str, list[dict[str, Any]]]:
    """Files that people should look at: with false cuts, false flags or missed violence."""
    found: dict[str, list[dict[str, Any]]] = {"false_cuts": [], "false_flags": [], "missed": []}
    for row, one in tuning.outcomes:
        path = printable(study.files[row].footage.path)
        for kind, count in (
            ("false_cuts", one.false_cuts),
            ("false_flags", one.false_flags),
            ("missed", sum(event.flag_ms is None for event in one.events)),
        ):
            if count:
                found[kind].append({"path": path, "count": count})
    return {kind: sorted(rows, key=lambda row: -row["count"])[:MAX_FILES] for kind, rows in found.items()}


def _figures(found: Figures) -> dict[str, Any]:
    values = asdict(found)
    plain: dict[str, Any] = {"counts": values.pop("counts")}
    plain["counts"]["calm_hours"] = round(plain["counts"]["calm_hours"], 4)
    for name in values:
        value = getattr(found, name)
        if isinstance(value, Interval):
            digits = 1 if "_ms_" in name else 4
            plain[name] = None if math.isnan(value.value) else [round(number, digits) for number in value]
        else:
            plain[name] = round(value, 4)
    return plain


def assumptions(tiers: TierPolicy) -> list[str]:
    return [
        "Labels are taken as true. A violent stretch counts as found when its FLAG or CUT comes before its "
        "end, or at most one window later. Time that no row labels counts neither way.",
        "A file is a stream of its own, so it begins in alert tier "
        f"(start_alert_ms = {tiers.start_alert_ms}). The figures from calm show a stream that was calm "
        "before.",
        "Alert samples are those of a stream that is always in alert tier. They are up to one interval "
        f"({tiers.alert_interval_ms} ms) off for a stream that becomes alert in between. The live code makes "
        "calm samples, tier changes, bitrate jumps, windows and decisions.",
        "Nothing is shed, and matches and other categories play no part.",
        "A CUT ends a stream; the rest of the file is judged as a new one.",
        "Precision holds for the labels' mix. Live traffic has far less violence and so lower precision: "
        "look at the rates per hour.",
        "Footage that the model was trained on makes every figure too good.",
    ]


def _warnings(study: Study, tuning: Tuning, check: LiveCheck | None, failed: int) -> list[str]:
    said = []
    if failed:
        said.append(f"{failed} files could not be judged and are left out.")
    if tuning.unseen is None:
        said.append(
            "Fewer than two groups are violent, or calm. So the figures come from the footage that the "
            "thresholds were chosen from, and are too good. Name groups of footage in a CSV column `group`."
        )
    if not tuning.proposal.flag_recall_reached:
        said.append("No threshold flags the wanted share of violent stretches.")
    if not tuning.proposal.cuts_anything:
        said.append(
            "No candidate cuts violence and keeps the guarantee: the proposal practically never cuts."
        )
    spread = {fold.cut_at for fold in tuning.folds}
    if spread and max(spread) - min(spread) > 0.2:
        said.append(
            f"Without a fifth of the groups cut_at would be between {min(spread):g} and {max(spread):g}: it "
            "depends on few of them."
        )
    start_ms = study.simulator.tiers.start_alert_ms
    starts = [start for one in study.files for start, _ in one.truth.violent]
    if starts and all(start < start_ms for start in starts):
        said.append(
            "Every violent stretch begins while its stream is new and in alert tier. Only the figures from "
            "calm show what raise_at does later in a stream."
        )
    if check is not None and check.differing:
        said.append(
            f"On the live pipeline {check.files - check.alike} of {check.files} files differ from the "
            f"simulation ({check.live_cut} cut live, {check.simulated_cut} simulated)."
        )
    return said


def text(value: float, how: str) -> str:
    """Formats a figure for people."""
    if how == "share":
        return f"{100 * value:.1f} %"
    return f"{value / 1000:.2f} s" if how == "ms" else spell_rate(value)
