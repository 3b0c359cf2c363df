"""Plots latency over load. Needs matplotlib: ``pip install edge-gate[plots]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._load_report import BUDGET_MS, limit_of


def plot(trials: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws one point a run and percentile, and crosses out runs that lost samples. The file's suffix
    chooses SVG, PNG or PDF."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    runs = sorted((trial for trial in trials if trial["latency_ms"]), key=lambda trial: trial["streams"])
    for name, colour in (("p50", "#2a9d8f"), ("p99", "#e76f51"), ("max", "#8d99ae")):
        held = [(run["streams"], run["latency_ms"][name]) for run in runs if not limit_of(run)]
        lost = [(run["streams"], run["latency_ms"][name]) for run in runs if limit_of(run)]
        axes.plot(*zip(*held, strict=True) if held else ([], []), "o-", color=colour, label=name)
        if lost:
            axes.plot(*zip(*lost, strict=True), "x", color=colour)
    axes.axhline(BUDGET_MS, color="black", linewidth=1, linestyle="--", label="budget")
    axes.set_yscale("log")
    axes.set_xlabel("streams, 1280×720, 30 fps, GOP 2 s (×: some samples were shed)")
    axes.set_ylabel("arrival to verdict, ms")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.savefig(path)
