"""`make model-eval` prints the shipped scores and names every missed goal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.detect import default_model_directory, read_pack
from edge.detect.manifest import Thresholds
from models.train.goals import goals
from models.train.report import actions, int8_table, main
from models.train.samples import SHAKE, shaken
from models.train.scores import (
    PROTOCOLS,
    ClipScore,
    Protocols,
    read_scores,
    strong_motion,
    write_scores,
)

THRESHOLDS = Thresholds(raise_tier=0.2, flag=0.5, cut=0.9)


def clip(number: int, violent: bool, score: float, source: str, motion: float = 1.0) -> ClipScore:
    return ClipScore(
        path=f"clips/{source}/{number}.mp4",
        source=source,
        group=f"{source}-{number % 4}",
        violent=violent,
        motion=motion,
        mean=score,
        peak=score,
        calm_tier=score,
        belief=score,
    )


@pytest.fixture
def protocols() -> Protocols:
    """Two sources that are separated without a mistake."""
    rows = [
        clip(number, number % 2 == 0, 0.8 if number % 2 == 0 else 0.1, source, motion=number)
        for source in ("surveillance-fights", "ut-interaction")
        for number in range(16)
    ]
    return {name: rows for name in PROTOCOLS}


def met(protocols: Protocols, word: str, cost_ms: float = 4.0) -> bool:
    (row,) = [row for row in goals(THRESHOLDS, protocols, cost_ms, rounds=20) if word in row.measure]
    return row.met


def test_a_perfect_detector_meets_every_goal(protocols: Protocols) -> None:
    assert all(row.met for row in goals(THRESHOLDS, protocols, 4.0, rounds=20))
    assert not met(protocols, "one thread", cost_ms=6.1)


def test_a_false_cut_is_a_missed_goal(protocols: Protocols) -> None:
    moving = max((row for row in protocols["oof"] if not row.violent), key=lambda row: row.motion)
    worse = [replace(row, belief=0.95) if row is moving else row for row in protocols["oof"]]
    assert met(protocols, "strong motion, out of fold")
    assert not met({**protocols, "oof": worse}, "strong motion, out of fold")
    assert met({**protocols, "oof": worse}, "strong motion, source held out")


def test_int8_beside_fp32(protocols: Protocols) -> None:
    swapped = [replace(row, mean=1 - row.mean) for row in protocols["oof"]]
    row = int8_table({**protocols, "oof_fp32": swapped})["AUC, all"]
    assert (row["fp32"].value, row["int8"].value, row["int8 - fp32"].value) == (0.0, 1.0, 1.0)
    assert not met({**protocols, "oof": swapped}, "int8 against fp32")
    assert not met({**protocols, "oof_shaken": swapped}, "shaken")


def test_strong_motion_is_the_violent_clips_middle(protocols: Protocols) -> None:
    strong = strong_motion(protocols["oof"])
    assert {row.motion for row in strong} == {7.0, 9.0, 11.0, 13.0, 15.0}
    assert not any(row.violent for row in strong)


def test_scores_come_back_as_written(protocols: Protocols, tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.json", THRESHOLDS, protocols)
    assert read_scores(tmp_path / "scores.json") == (THRESHOLDS, protocols)


def test_shipped_scores_are_the_shipped_models(capsys: pytest.CaptureFixture[str]) -> None:
    """Every protocol is reported, over the same clips, with the manifest's thresholds and AUC. No calm clip
    is cut."""
    thresholds, protocols = read_scores()
    manifest = read_pack(default_model_directory()).motion
    assert thresholds == manifest.categories[0].thresholds
    assert manifest.categories[0].belief.false_alarms is not None
    assert set(protocols) == set(PROTOCOLS)
    paths = [score.path for score in protocols["oof"]]
    assert all([score.path for score in part] == paths for part in protocols.values())
    assert actions(thresholds, protocols["oof"])[-1]["calm"] == 0
    main(as_json=True)
    printed = json.loads(capsys.readouterr().out)
    for name in PROTOCOLS:
        value = printed["protocols"][name]["all"]["AUC"][0]
        assert value == manifest.measured[f"{name}.all.auc.value"]


def test_shaking_moves_frames_and_repeats() -> None:
    picture = np.arange(120 * 200, dtype=np.uint32).reshape(120, 200).astype(np.uint8)
    pictures = np.stack([picture] * 40)
    once, again, other = shaken(pictures, "a"), shaken(pictures, "a"), shaken(pictures, "b")
    margin = 4 * SHAKE
    assert once.shape == (40, 120 - 2 * margin, 200 - 2 * margin)
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    assert len(np.unique(once[:, 0, 0])) > 10
