"""What the windows of one file said of one category."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge.domain import Action


@dataclass(slots=True)
class CategoryScores:
    """The scores of one category, and when it was acted on first. Times are seconds from the start."""

    scores: list[tuple[float, float]] = field(default_factory=list)
    """Pairs of time and score."""
    silent: int = 0
    """Windows of audio that were not judged, because nothing sounded in them. They count as 0."""
    first_s: dict[Action, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        windows = len(self.scores) + self.silent
        return {
            "score_max": round(max((score for _, score in self.scores), default=0.0), 5),
            "score_mean": round(sum(score for _, score in self.scores) / windows, 5) if windows else 0.0,
            "first_flag_s": self.first_s.get(Action.FLAG),
            "first_cut_s": self.first_s.get(Action.CUT),
        }
