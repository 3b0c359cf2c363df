"""The figures of a training run: by source, with intervals that resample whole groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.detect.measures import (
    Interval,
    average_precision,
    bootstrap,
    expected_calibration_error,
    recall_at_precision,
    roc_auc,
)

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]

MEASURES: dict[str, Callable[[Labels, Values], float]] = {
    "auc": roc_auc,
    "average_precision": average_precision,
    "recall_at_precision_80": lambda labels, scores: recall_at_precision(labels, scores, 0.80),
    "recall_at_precision_90": lambda labels, scores: recall_at_precision(labels, scores, 0.90),
    "recall_at_precision_95": lambda labels, scores: recall_at_precision(labels, scores, 0.95),
    "calibration_error": expected_calibration_error,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one set of clips."""

    protocol: str
    """``oof``: group-wise folds; ``held_out``: the source itself left out of training."""
    source: str
    measure: str
    figure: Interval

    def __str__(self) -> str:
        return f"{self.protocol} {self.source} {self.measure} {self.figure}"


def rows(
    protocol: str, violent: Labels, scores: Values, groups: NDArray[np.str_], sources: NDArray[np.str_]
) -> list[Row]:
    """Every measure over all clips and over each source that has both labels."""
    found = []
    for source in ("all", *np.unique(sources)):
        inside = np.ones(len(violent), dtype=bool) if source == "all" else sources == source
        if len(np.unique(violent[inside])) < 2:
            continue
        for name, measure in MEASURES.items():
            figure = bootstrap(measure, violent[inside], scores[inside], groups[inside], rounds=300)
            found.append(Row(protocol, str(source), name, figure))
    return found


def as_numbers(found: list[Row]) -> dict[str, float]:
    """The AUCs of a report as the manifest keeps them."""
    numbers = {}
    for row in found:
        if row.measure == "auc":
            for part in ("value", "low", "high"):
                key = f"{row.protocol}.{row.source}.auc.{part}"
                numbers[key] = round(float(getattr(row.figure, part)), 4)
    return numbers
