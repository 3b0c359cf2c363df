"""The goals of sight beside the figures of the shipped firearm model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("PIL")

from edge.detect import default_model_directory, read_pack
from edge.detect.sight.frame_model import FrameModel
from models.sight_report import goals, seen
from models.train.sight.index import read_pictures

FIGURES = {
    "firearms": 302,
    "negatives": 196,
    "games": 191,
    "auc": [0.863, 0.799, 0.948],
    "recall": {"95%": [0.606, 0.55, 0.659]},
    "games_over": {"95%": [0.0, 0.0, 0.02]},
}


def test_each_goal_is_met_or_missed_by_its_own_figure() -> None:
    assert [row.met for row in goals(FIGURES)] == [False, True, True]
    better = FIGURES | {"auc": [0.92, 0.9, 0.95], "games_over": {"95%": [0.021, 0.0, 0.05]}}
    assert [row.met for row in goals(better)] == [True, True, False]
    assert goals(FIGURES)[0].measured == "0.863 [0.799, 0.948]"


def test_the_shipped_model_scores_firearms_it_never_saw_above_games(shared: Path) -> None:
    model = FrameModel.of(read_pack(default_model_directory()))
    assert model is not None
    tested = [picture for picture in read_pictures(shared / "data") if picture.role == "test"]
    large = [picture for picture in tested if (picture.box or 0) >= 0.5][:12]
    games = [picture for picture in tested if picture.label == "game"][:12]
    assert sorted(seen(model, large))[len(large) // 2] > max(seen(model, games))
