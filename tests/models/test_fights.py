"""Goals of fights on unseen sources, from made-up replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.policy import CategoryPolicy
from edge.tuning.evaluation import LabelledClip
from models.train.fights import fight_goals, flags_in

PART = CategoryPolicy()


def replayed(belief: float, *, flagged: bool = False, cut: bool = False) -> dict[str, Any]:
    said = {
        "score_max": belief,
        "first_flag_s": 1.0 if flagged else None,
        "first_cut_s": 1.0 if cut else None,
    }
    return {"categories": {"fight": said}}


def long(*beliefs: float) -> dict[str, Any]:
    windows = [[at * 0.2, belief, "fight"] for at, belief in enumerate(beliefs)]
    return {"duration_s": 1800.0, "windows": [*windows, [1.0, 0.99, "firearm"]]}


def clip(number: int, violent: bool) -> LabelledClip:
    return LabelledClip(Path(f"{number}.mp4"), violent, f"group {number}", "made up")


def met(reports: list[dict[str, Any]], calm: list[dict[str, Any]]) -> list[bool]:
    clips = [clip(number, number < 10) for number in range(20)]
    return [row.met for row in fight_goals(clips, reports, calm, PART)]


def test_a_perfect_detector_meets_every_goal_and_its_opposite_none() -> None:
    fights, others = [replayed(0.95, flagged=True, cut=True)] * 10, [replayed(0.1)] * 10
    assert met(fights + others, [long(0.1, 0.6)]) == [True] * 6
    noisy = long(*[0.6, 0.1] * 2)
    assert met(others + fights, [noisy]) == [False] * 6


def test_a_flag_counts_once_until_it_is_calm_again() -> None:
    assert flags_in(long(0.1, 0.6, 0.7, 0.4, 0.6, 0.1, 0.55), PART) == 2
    assert flags_in(long(0.1, 0.49), PART) == 0
