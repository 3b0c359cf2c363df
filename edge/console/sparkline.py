"""The scores of a live stream as small drawings. Pure."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from edge.contract.gen import operator_pb2

WIDTH: Final = 118
HEIGHT: Final = 24
_MOST: Final = 3
_LEAST: Final = 0.05
"""A category that stayed under it is left out, unless it is the highest."""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """One category's last two minutes. ``lines`` are the points of polylines, with gaps between them."""

    category: str
    peak: float
    lines: tuple[str, ...]


def sparklines(stream: operator_pb2.Stream) -> tuple[Sparkline, ...]:
    """The categories of a stream that scored highest."""
    found: list[Sparkline] = []
    for each in stream.scores[:_MOST]:
        line = _drawn(each.category, tuple(each.scores))
        if line.lines and (line.peak >= _LEAST or not found):
            found.append(line)
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def _drawn(category: str, scores: tuple[float, ...]) -> Sparkline:
    step = WIDTH / max(1, len(scores) - 1)
    runs: list[list[str]] = [[]]
    for number, score in enumerate(scores):
        if score < 0:
            runs.append([])
        else:
            x, y = number * step, (HEIGHT - 2) * (1 - min(score, 1.0)) + 1
            runs[-1].append(f"{x:.1f},{y:.1f}")
    # A line of one point has to be as long as something, to be seen.
    lines = (" ".join(run if len(run) > 1 else [*run, *run]) for run in runs if run)
    return Sparkline(category, max(scores, default=0.0), tuple(lines))
