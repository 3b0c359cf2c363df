"""Scores that clips got from heads that had not seen them: what every figure of the model is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.detect.manifest import Thresholds

SCORES_NAME = "unseen-scores.json"
SCORES = Path(__file__).resolve().parents[1] / SCORES_NAME

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]

PROTOCOLS = {
    "oof": "out of fold, shipped int8 graph",
    "oof_fp32": "out of fold, float graph",
    "oof_shaken": "out of fold, shipped int8 graph, clips shaken as by hand",
    "held_out": "source held out whole, shipped int8 graph",
}


@dataclass(frozen=True, slots=True)
class ClipScore:
    """Calibrated scores of one clip that the judging head had not seen."""

    path: str
    source: str
    group: str
    violent: bool
    motion: float
    """How much moves in the crops, in grey levels: tells what is hard among the calm clips."""
    mean: float
    """Over the clip's live windows: what ranking and calibration are measured on."""
    peak: float
    calm_tier: float
    """Best of the samples that the calm tier takes."""
    flaggable: float
    cuttable: float
    """What the clip holds for as many samples as the policy wants before it flags, or cuts."""


Protocols = dict[str, list[ClipScore]]


def write_scores(path: Path, thresholds: Thresholds, protocols: Protocols) -> None:
    """Keeps the scores beside the model, one clip a line."""
    lines = [f'{{"thresholds": {thresholds.model_dump_json()}, "protocols": {{']
    for index, (name, scores) in enumerate(protocols.items()):
        rows = ",\n".join(json.dumps(asdict(score)) for score in scores)
        lines.append(f'"{name}": [\n{rows}\n]' + ("," if index < len(protocols) - 1 else ""))
    path.write_text("\n".join([*lines, "}}"]) + "\n")


def read_scores(path: Path = SCORES) -> tuple[Thresholds, Protocols]:
    """What :func:`write_scores` kept."""
    content = json.loads(path.read_text())
    protocols = {name: [ClipScore(**row) for row in scores] for name, scores in content["protocols"].items()}
    return Thresholds(**content["thresholds"]), protocols


def parts(scores: list[ClipScore]) -> list[tuple[str, list[ClipScore]]]:
    """All clips, then each source that has both labels."""
    found = [("all", scores)]
    for source in sorted({score.source for score in scores}):
        part = [score for score in scores if score.source == source]
        if len({score.violent for score in part}) == 2:
            found.append((source, part))
    return found


def columns(scores: Iterable[ClipScore], kind: str = "mean") -> tuple[Labels, Values, NDArray[np.str_]]:
    """Labels, one kind of score, and groups, each ``(N,)``."""
    rows = list(scores)
    return (
        np.array([score.violent for score in rows], dtype=bool),
        np.array([getattr(score, kind) for score in rows], dtype=np.float64),
        np.array([score.group for score in rows], dtype=np.str_),
    )


def strong_motion(scores: list[ClipScore]) -> list[ClipScore]:
    """The calm clips in which as much moves as in the middle one of the violent clips, or more."""
    middle = float(np.median([score.motion for score in scores if score.violent]))
    return [score for score in scores if not score.violent and score.motion >= middle]
