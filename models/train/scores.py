"""Scores of clips by heads that had not seen them: the basis of every figure of the model."""

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
    """Calibrated scores of one clip by a head that had not seen it."""

    path: str
    source: str
    group: str
    violent: bool
    motion: float
    """Motion in the crops, in grey levels. It shows which calm clips are hard."""
    mean: float
    """Mean over the clip's live windows. Ranking and calibration are measured on it."""
    peak: float
    calm_tier: float
    """Best of the samples that the calm tier takes."""
    belief: float | None = None
    """Highest belief, by which the gate flags and cuts. None: not measured."""
    seconds: float = 0.0


Protocols = dict[str, list[ClipScore]]


def write_scores(path: Path, thresholds: Thresholds, protocols: Protocols) -> None:
    """Writes the scores beside the model, one clip per line."""
    lines = [f'{{"thresholds": {thresholds.model_dump_json()}, "protocols": {{']
    for index, (name, scores) in enumerate(protocols.items()):
        rows = ",\n".join(json.dumps(asdict(score)) for score in scores)
        lines.append(f'"{name}": [\n{rows}\n]' + ("," if index < len(protocols) - 1 else ""))
    path.write_text("\n".join([*lines, "}}"]) + "\n")


def read_scores(path: Path = SCORES) -> tuple[Thresholds, Protocols]:
    """Reads what :func:`write_scores` wrote."""
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


def passes(score: ClipScore, kind: str, limit: float) -> bool:
    """Whether a clip has a score of this kind, and it is at or over a limit."""
    value = getattr(score, kind)
    return value is not None and value >= limit


def strong_motion(scores: list[ClipScore]) -> list[ClipScore]:
    """The calm clips with at least the median motion of the violent clips."""
    middle = float(np.median([score.motion for score in scores if score.violent]))
    return [score for score in scores if not score.violent and score.motion >= middle]
