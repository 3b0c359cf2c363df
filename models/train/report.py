"""``python -m models.train.report``: the shipped model's figures, from the scores of its training run.

Every score was given to a clip by a head that had not seen it, so the table needs neither the footage nor
the training packages. Intervals resample whole groups.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.detect.manifest import Thresholds
from edge.detect.measures import (
    bootstrap,
    expected_calibration_error,
    rate_upper_bound,
    recall_at_precision,
    roc_auc,
)

SCORES_NAME = "unseen-scores.json"
SCORES = Path(__file__).resolve().parents[1] / SCORES_NAME

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]

PROTOCOLS = {
    "oof": "out of fold, shipped int8 graph",
    "oof_fp32": "out of fold, float graph",
    "held_out": "source held out whole, shipped int8 graph",
}
COLUMNS: dict[str, Callable[[Labels, Values], float]] = {
    "AUC": roc_auc,
    "recall at 80 %": lambda labels, scores: recall_at_precision(labels, scores, 0.80),
    "at 90 %": lambda labels, scores: recall_at_precision(labels, scores, 0.90),
    "calibration error": expected_calibration_error,
}
ROUNDS = 400


@dataclass(frozen=True, slots=True)
class ClipScore:
    """Calibrated scores of one clip that the judging head had not seen."""

    path: str
    source: str
    group: str
    violent: bool
    mean: float
    """Over the clip's live windows: what ranking and calibration are measured on."""
    peak: float
    calm_tier: float
    """Best of the samples that the calm tier takes."""
    flaggable: float
    cuttable: float
    """What the clip holds for as many samples as the policy wants before it flags, or cuts."""


def write_scores(path: Path, thresholds: Thresholds, protocols: dict[str, list[ClipScore]]) -> None:
    """Keeps the scores beside the model, one clip a line."""
    lines = [f'{{"thresholds": {thresholds.model_dump_json()}, "protocols": {{']
    for index, (name, scores) in enumerate(protocols.items()):
        rows = ",\n".join(json.dumps(asdict(score)) for score in scores)
        lines.append(f'"{name}": [\n{rows}\n]' + ("," if index < len(protocols) - 1 else ""))
    path.write_text("\n".join([*lines, "}}"]) + "\n")


def read_scores(path: Path = SCORES) -> tuple[Thresholds, dict[str, list[ClipScore]]]:
    """What :func:`write_scores` kept."""
    content = json.loads(path.read_text())
    protocols = {name: [ClipScore(**row) for row in scores] for name, scores in content["protocols"].items()}
    return Thresholds(**content["thresholds"]), protocols


def aucs(protocols: dict[str, list[ClipScore]]) -> dict[str, float]:
    """The AUCs with their intervals, as the manifest keeps them."""
    numbers = {}
    for name, scores in protocols.items():
        for source, part in _parts(scores):
            figure = bootstrap(roc_auc, *_columns(part), rounds=ROUNDS)
            for edge in ("value", "low", "high"):
                numbers[f"{name}.{source}.auc.{edge}"] = round(float(getattr(figure, edge)), 4)
    return numbers


def print_report(thresholds: Thresholds, protocols: dict[str, list[ClipScore]]) -> None:
    """A Markdown table a protocol, then what the thresholds do."""
    for name, scores in protocols.items():
        print(f"\n{PROTOCOLS[name]}\n")
        print("| source | " + " | ".join(COLUMNS) + " | AUC of peak | AUC of calm tier |")
        print("|---" * (len(COLUMNS) + 3) + "|")
        for source, part in _parts(scores):
            labels, means, groups = _columns(part)
            cells = [str(bootstrap(measure, labels, means, groups, ROUNDS)) for measure in COLUMNS.values()]
            for kind in ("peak", "calm_tier"):
                other = np.array([getattr(score, kind) for score in part])
                cells.append(f"{roc_auc(labels, other):.3f}")
            print(f"| {source} | " + " | ".join(cells) + " |")
        print()
        for what, kind, limit in (
            ("raised by the calm tier", "calm_tier", thresholds.raise_tier),
            ("flagged", "flaggable", thresholds.flag),
            ("cut", "cuttable", thresholds.cut),
        ):
            over = [score for score in scores if getattr(score, kind) >= limit]
            violent, calm = sum(score.violent for score in over), sum(not score.violent for score in over)
            calm_clips = sum(not score.violent for score in scores)
            bound = rate_upper_bound(calm, calm_clips)
            print(
                f"- {what} (>= {limit}): {violent} of {len(scores) - calm_clips} violent clips, "
                f"{calm} of {calm_clips} calm clips (at most {bound:.1%} at 95 %)"
            )


def _parts(scores: list[ClipScore]) -> list[tuple[str, list[ClipScore]]]:
    """All clips, then each source that has both labels."""
    parts = [("all", scores)]
    for source in sorted({score.source for score in scores}):
        part = [score for score in scores if score.source == source]
        if len({score.violent for score in part}) == 2:
            parts.append((source, part))
    return parts


def _columns(scores: list[ClipScore]) -> tuple[Labels, Values, NDArray[np.str_]]:
    return (
        np.array([score.violent for score in scores], dtype=bool),
        np.array([score.mean for score in scores], dtype=np.float64),
        np.array([score.group for score in scores], dtype=np.str_),
    )


if __name__ == "__main__":
    print_report(*read_scores())
