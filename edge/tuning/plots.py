"""Draws the plots of an evaluation as PNG. Needs the extra ``plots``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.detect.measures import precision_recall
from edge.errors import ConfigError

BINS = 10
NAMED = 10
"""Most lines over time that the legend names, those with the highest scores. A folder may hold hundreds."""


def prepare(folder: Path) -> None:
    """Creates the folder. Raises ConfigError if plots cannot be drawn.

    Call it first, so an error comes before the hours of an evaluation.
    """
    try:
        import matplotlib
    except ImportError:
        raise ConfigError("--plots needs matplotlib: pip install 'edge-gate[plots]'") from None
    matplotlib.use("Agg")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--plots {folder}: {error.strerror}") from None


def draw(
    folder: Path,
    labels: Sequence[bool],
    scores: Sequence[float],
    over_time: Mapping[str, Sequence[Sequence[float]]],
) -> list[Path]:
    """Writes ``roc.png``, ``pr.png``, ``calibration.png`` and, for long footage, ``time.png``.

    ``over_time`` maps names to ``[[t_s, score], …]``. Raises ConfigError as :func:`prepare` does.
    """
    prepare(folder)
    from matplotlib import pyplot

    violent, values = np.array(labels, dtype=bool), np.array(scores, dtype=np.float64)
    written = []

    def save(name: str, x_label: str, y_label: str, *lines: Any) -> None:
        names = [label for *_, label in lines if label]
        size = (5, 5) if len(names) < 2 else (10, 5 + 0.2 * len(names))
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        for x, y, style, label in lines:
            axes.plot(
                x, y, style, label=label, linewidth=1, alpha=1.0 if label or len(lines) <= NAMED else 0.2
            )
        axes.set(xlabel=x_label, ylabel=y_label, ylim=(-0.02, 1.02))
        if names:
            figure.legend(loc="outside lower center", fontsize="small")
        figure.savefig(folder / name, dpi=120)
        pyplot.close(figure)
        written.append(folder / name)

    if violent.any() and not violent.all():
        precision, recall, thresholds = precision_recall(violent, values)
        calm_over = [(values[~violent] >= threshold).mean() for threshold in thresholds]
        save(
            "roc.png",
            "calm clips over threshold",
            "violent clips over threshold",
            ([0, *calm_over], [0, *recall], "-", None),
            ([0, 1], [0, 1], ":", "chance"),
        )
        save("pr.png", "recall", "precision", (recall, precision, "-", None))
        bin_of = np.minimum((values * BINS).astype(int), BINS - 1)
        filled = [index for index in range(BINS) if (bin_of == index).any()]
        shares = [violent[bin_of == index].mean() for index in filled]
        save(
            "calibration.png",
            "score",
            "share of violent clips",
            (
                [values[bin_of == i].mean() for i in filled],
                shares,
                "o-",
                None,
            ),
            ([0, 1], [0, 1], ":", "calibrated"),
        )
    if over_time:
        peaks = {name: max((row[1] for row in rows), default=0.0) for name, rows in over_time.items()}
        named = sorted(peaks, key=lambda name: -peaks[name])[:NAMED]
        lines = [
            ([row[0] for row in rows], [row[1] for row in rows], "-", name if name in named else None)
            for name, rows in over_time.items()
        ]
        save("time.png", "seconds", "window score", *lines)
    return written
