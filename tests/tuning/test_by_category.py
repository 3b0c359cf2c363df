"""Figures of each category: what counts for it, what against it, and what is left aside."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from edge.errors import InvalidInput
from edge.policy import CategoryPolicy
from edge.tuning.by_category import apart_figures, category_figures, false_flags, flags, judged_by
from edge.tuning.evaluation import LabelledClip, calm_rates, figures, read_labels

pytest.importorskip("scipy")
RULES = {
    "fight": CategoryPolicy(raise_at=0.2, release_at=0.1, flag_at=0.5, cut_at=0.9),
    "gunfire": CategoryPolicy(raise_at=0.2, release_at=0.1, flag_at=0.5, cut_at=1.0),
}


def clip(name: str, *labels: str, violent: bool = False) -> LabelledClip:
    return LabelledClip(Path(name), violent, name, "source", frozenset(labels))


def report(hours: float = 0.5, **scores: list[float]) -> dict[str, Any]:
    """As ``replay --json --windows`` gives it."""
    categories = {}
    for name, row in scores.items():
        flagged = any(score >= RULES[name].flag_at for score in row)
        categories[name] = {
            "score_max": max(row),
            "score_mean": sum(row) / len(row),
            "first_flag_s": 1.0 if flagged else None,
            "first_cut_s": None,
        }
    windows = [[at, score, name] for name, row in scores.items() for at, score in enumerate(row)]
    verdicts = [
        [at, "flag", name]
        for name, row in scores.items()
        for at, (before, score) in enumerate(zip([0.0, *row], row, strict=False))
        if before < RULES[name].flag_at <= score
    ]
    return {
        "duration_s": 3600 * hours,
        "score_max": 1.0,
        "score_mean": 1.0,
        "first_flag_s": 0.0,
        "first_cut_s": None,
        "categories": categories,
        "windows": windows,
        "verdicts": verdicts,
    }


def test_calm_counts_against_every_category_and_other_labels_count_nowhere() -> None:
    clips = [clip("shot", "gunfire"), clip("calm"), clip("fight", violent=True), clip("toy", "game")]
    reports = [
        report(fight=[0.1], gunfire=[0.9]),
        report(fight=[0.6, 0.7], gunfire=[0.1, 0.1]),
        report(fight=[0.8], gunfire=[0.99]),
        report(fight=[0.99], gunfire=[0.99]),
    ]
    found = category_figures(clips, reports, RULES, ["fight"])
    gunfire, fight = found["gunfire"], found["fight"]
    assert (gunfire["positives"], gunfire["positives_flagged"], gunfire["negatives"]) == (1, 1, 1)
    assert gunfire["auc"][0] == gunfire["recall"][0] == 1.0
    assert gunfire["false_flags_per_hour"][0] == 0.0
    assert gunfire["false_flags_per_hour"][2] == pytest.approx(3.689 / 0.5, rel=0.01)
    assert (fight["positives"], fight["negatives_flagged"]) == (1, 1)
    assert fight["false_flags_per_hour"][0] == 2.0
    assert apart_figures(clips, reports, RULES, ["game"]) == {
        "game": {"clips": 1, "flagged": {"fight": 1, "gunfire": 1}}
    }


def test_the_motion_models_figures_are_not_moved_by_audio() -> None:
    loud = report(fight=[0.1, 0.2], gunfire=[0.9])
    alone = judged_by(["fight"], loud)
    assert (alone["score_max"], alone["first_flag_s"]) == (0.2, None)
    found = figures([clip("calm"), clip("shot", "gunfire")], [alone, alone], "score_max")
    assert (found["all"]["calm"], found["all"]["calm_flagged"], found["failed"]) == (1, 0, 0)
    assert judged_by(["fight"], {"error": "no"}) == {"error": "no"}


def test_every_flag_of_a_long_recording_counts() -> None:
    assert flags(report(gunfire=[0.9, 0.9, 0.1, 0.8]), "gunfire") == 2
    assert flags(report(gunfire=[0.4]), "gunfire") == 0
    long = report(0.5, gunfire=[0.9, 0.1, 0.9], fight=[0.6, 0.1, 0.7, 0.1, 0.8])
    rates = false_flags([long, {"error": "no"}], RULES)
    assert (rates["gunfire"]["flags"], rates["fight"]["flags"], rates["all"]["flags"]) == (2, 3, 5)
    assert rates["all"]["flags_per_hour"][0] == 10.0
    of_all = calm_rates([long, {"error": "no"}])
    assert (of_all["flags"], of_all["flags_per_hour"]["value"], of_all["cuts"]) == (5, 10.0, 0)


def test_labels_of_a_packs_categories_are_read_and_others_named(tmp_path: Path) -> None:
    table = tmp_path / "sounds.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label"))
        rows.writerows((("a.ogg", "Gunfire+scream"), ("b.ogg", "calm"), ("c.mp4", "violent")))
    names = {"gunfire", "scream"}
    first, second, third = read_labels(table, None, names)
    assert first.shows("gunfire")
    assert first.shows("scream")
    assert not first.calm
    assert second.calm
    assert third.shows("fight")
    with pytest.raises(InvalidInput, match="neither violent nor calm, nor one of scream"):
        read_labels(table, None, {"scream"})
