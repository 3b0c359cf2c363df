"""``python -m models.train.report``: the shipped model's figures, from the scores of its training run.

The head that scored a clip had not seen it. So the tables need neither the footage nor the training
packages. Intervals resample whole groups. The cost is measured on this machine at each run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from edge.detect import default_model_directory
from edge.detect.check import check_model
from edge.detect.manifest import Thresholds
from edge.detect.measures import (
    expected_calibration_error,
    recall_at_precision,
    roc_auc,
)
from edge.intervals import Interval, bootstrap, rate_upper_bound
from models.train.goals import COST_MS, Goal, goals
from models.train.scores import (
    PROTOCOLS,
    SCORES,
    ClipScore,
    Labels,
    Protocols,
    Values,
    columns,
    parts,
    passes,
    read_scores,
    strong_motion,
)

COLUMNS: dict[str, Callable[[Labels, Values], float]] = {
    "AUC": roc_auc,
    "recall at 80 %": lambda labels, scores: recall_at_precision(labels, scores, 0.80),
    "at 90 %": lambda labels, scores: recall_at_precision(labels, scores, 0.90),
    "calibration error": expected_calibration_error,
}
KINDS = {"peak": "AUC of peak", "calm_tier": "AUC of calm tier"}
ROUNDS = 400


def aucs(protocols: Protocols) -> dict[str, float]:
    """The AUCs with their intervals, as the manifest keeps them."""
    numbers = {}
    for name, scores in protocols.items():
        for source, part in parts(scores):
            figure = bootstrap(roc_auc, *columns(part), rounds=ROUNDS)
            for edge in ("value", "low", "high"):
                numbers[f"{name}.{source}.auc.{edge}"] = round(float(getattr(figure, edge)), 4)
    return numbers


def protocol_table(scores: list[ClipScore]) -> dict[str, dict[str, Interval]]:
    """Source → measure → figure, with ``all`` first."""
    table = {}
    for source, part in parts(scores):
        row = {title: bootstrap(measure, *columns(part), ROUNDS) for title, measure in COLUMNS.items()}
        for kind, title in KINDS.items():
            row[title] = bootstrap(roc_auc, *columns(part, kind), ROUNDS)
        table[source] = row
    return table


def int8_table(protocols: Protocols) -> dict[str, dict[str, Interval]]:
    """Compares fp32 and int8, out of fold: ``measure, source`` → figures and the gain of int8.

    The interval of the gain resamples groups of the same clips.
    """
    table = {}
    floats = {score.path: score for score in protocols["oof_fp32"]}
    for source, part in parts(protocols["oof"]):
        labels, int8, groups = columns(part)
        fp32 = columns([floats[score.path] for score in part])[1]
        for title in ("AUC", "recall at 80 %"):
            measure = COLUMNS[title]
            rows = np.arange(len(labels), dtype=np.float64)

            def gain(
                y: Labels,
                at: Values,
                measure: Callable[[Labels, Values], float] = measure,
                int8: Values = int8,
                fp32: Values = fp32,
            ) -> float:
                index = at.astype(int)
                return measure(y, int8[index]) - measure(y, fp32[index])

            table[f"{title}, {source}"] = {
                "fp32": bootstrap(measure, labels, fp32, groups, ROUNDS),
                "int8": bootstrap(measure, labels, int8, groups, ROUNDS),
                "int8 - fp32": bootstrap(gain, labels, rows, groups, ROUNDS),
            }
    return table


def actions(thresholds: Thresholds, scores: list[ClipScore]) -> list[dict[str, Any]]:
    """Counts what the thresholds do: clips raised, flagged and cut, by label, and calm clips with strong
    motion."""
    found = []
    strong = strong_motion(scores)
    for what, kind, limit in (
        ("raised by the calm tier", "calm_tier", thresholds.raise_tier),
        ("flagged", "belief", thresholds.flag),
        ("cut", "belief", thresholds.cut),
    ):
        if all(getattr(score, kind) is None for score in scores):
            continue
        over = [score for score in scores if passes(score, kind, limit)]
        calm, calm_clips = sum(not s.violent for s in over), sum(not s.violent for s in scores)
        found.append(
            {
                "what": what,
                "threshold": limit,
                "violent": sum(score.violent for score in over),
                "violent_clips": len(scores) - calm_clips,
                "calm": calm,
                "calm_clips": calm_clips,
                "calm_share_upper_95": round(rate_upper_bound(calm, calm_clips), 4),
                "strong_motion_calm": sum(passes(score, kind, limit) for score in strong),
                "strong_motion_calm_clips": len(strong),
            }
        )
    return found


def print_report(thresholds: Thresholds, protocols: Protocols, cost_ms: float | None = None) -> None:
    """Prints Markdown: the goals, then for each protocol a table and its actions, then int8 against fp32."""
    _print_goals(goals(thresholds, protocols, cost_ms, ROUNDS))
    for name, scores in protocols.items():
        print(f"\n{PROTOCOLS[name]}\n")
        _print_table("source", protocol_table(scores))
        print()
        for row in actions(thresholds, scores):
            print(
                f"- {row['what']} (>= {row['threshold']}): {row['violent']} of {row['violent_clips']} "
                f"violent clips, {row['calm']} of {row['calm_clips']} calm clips (at most "
                f"{row['calm_share_upper_95']:.1%} at 95 %), {row['strong_motion_calm']} of "
                f"{row['strong_motion_calm_clips']} calm clips with strong motion"
            )
    if "oof_fp32" in protocols:
        print("\nfp32 against int8, out of fold\n")
        _print_table("measure", int8_table(protocols))


def _print_goals(rows: list[Goal]) -> None:
    print("| measure | goal | measured | |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {row.measure} | {row.goal} | {row.measured} | {'met' if row.met else 'missed'} |")


def _print_table(first: str, table: dict[str, dict[str, Interval]]) -> None:
    titles = list(next(iter(table.values())))
    print(f"| {first} | " + " | ".join(titles) + " |")
    print("|---" * (len(titles) + 1) + "|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(str(figure) for figure in row.values()) + " |")


def main(
    scores: Annotated[Path, typer.Option(help="Scores of a training run.")] = SCORES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Reports goals, figures and thresholds of the shipped model, on clips that it had not seen."""
    thresholds, protocols = read_scores(scores)
    cost_ms = check_model(default_model_directory(), COST_MS).sample_ms_p50
    if not as_json:
        print_report(thresholds, protocols, cost_ms)
        return
    result = {
        "goals": [asdict(row) for row in goals(thresholds, protocols, cost_ms, ROUNDS)],
        "protocols": {name: _numbers(protocol_table(part)) for name, part in protocols.items()},
        "actions": {name: actions(thresholds, part) for name, part in protocols.items()},
        "fp32_int8": _numbers(int8_table(protocols)) if "oof_fp32" in protocols else {},
    }
    json.dump(result, sys.stdout, indent=1)
    print()


def _numbers(table: dict[str, dict[str, Interval]]) -> dict[str, dict[str, list[float]]]:
    return {
        name: {
            title: [round(value, 4) for value in (figure.value, figure.low, figure.high)]
            for title, figure in row.items()
        }
        for name, row in table.items()
    }


if __name__ == "__main__":
    typer.run(main)
