"""``edge-gate model``: exit codes, JSON, and figures on generated clips."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.cli.model import app
from edge.detect import default_model_directory


def run(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout)


def write_clip(path: Path, amplitude: int, frames: int = 45) -> None:
    """A textured frame with a square that jumps about by ``amplitude`` pixels."""
    random = np.random.default_rng(amplitude)
    background = random.integers(90, 160, (120, 160, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"g": "30", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(frames):
            picture = background.copy()
            y, x = 90 + random.integers(-amplitude, amplitude + 1, 2)
            picture[y : y + 60, x : x + 40] = 255 * (index % 2)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    for label, amplitudes in (("violent", (40, 60)), ("calm", (0, 1))):
        for amplitude in amplitudes:
            write_clip(tmp_path / "data" / "made" / label / f"{amplitude}.mp4", amplitude)
    return tmp_path / "data"


def test_check_of_the_shipped_model() -> None:
    # A wide budget: another process may take the core, and this tests the contract, not the speed.
    code, found = run("check", str(default_model_directory()), "--budget-ms", "1000")
    assert code == 0
    assert found["within_budget"]
    assert found["categories"] == ["fight", "gunfire", "explosion", "scream", "firearm"]
    assert 0 < found["infer_ms_p50"] <= found["sample_ms_p95"]


@pytest.mark.parametrize("pattern", ["manifest.json", "*.onnx"])
def test_check_accepts_a_file_of_the_model(pattern: str) -> None:
    for file in sorted(default_model_directory().glob(pattern))[:1]:
        code, _ = run("check", str(file), "--budget-ms", "1000")
        assert code == 0


def test_check_says_what_a_model_is(tmp_path: Path) -> None:
    code, found = run("check", str(tmp_path))
    assert code == 1
    assert "a folder with manifest.json" in found["error"]


def test_check_refuses_what_is_over_budget() -> None:
    result = CliRunner().invoke(app, ["check", str(default_model_directory()), "--budget-ms", "0.1"])
    assert result.exit_code == 1
    assert "over the budget of 0.1 ms" in result.output
    code, found = run("check", str(default_model_directory()), "--budget-ms", "0.1")
    assert code == 1
    assert found["sample_ms_p50"] > 0.1
    assert "over the budget" in found["error"]


def test_check_refuses_a_damaged_model(tmp_path: Path) -> None:
    shutil.copytree(default_model_directory(), tmp_path / "m", ignore=shutil.ignore_patterns("train*"))
    model = next((tmp_path / "m").glob("*.onnx"))
    model.write_bytes(model.read_bytes()[::-1])
    code, found = run("check", str(tmp_path / "m"))
    assert code == 1
    assert "sha256" in found["error"]


def test_evaluate_a_labelled_folder(labelled: Path) -> None:
    calm = labelled / "made" / "calm"
    (labelled / "made" / "notes.txt").write_text("not a video\n")
    (calm / "notes.txt").write_text("not a video\n")
    code, found = run("evaluate", str(labelled), "-j", "1", "--calm", str(calm))
    assert code == 0
    assert [one["reason"] for one in found["left_out"]] == ["no_label", "not_media", "not_media"]
    assert (found["clips"], found["failed"]) == (4, 0)
    assert (found["all"]["violent"], found["all"]["calm"]) == (2, 2)
    value, low, high = found["all"]["auc"]
    assert low <= value <= high
    assert set(found["by_source"]) == {"made"}
    assert found["calm_footage"]["files"] == 2
    assert found["calm_footage"]["cut"] == 0
    assert found["calm_footage"]["cuts_per_hour"]["upper_95"] > 0
    assert any("2 and calm ones of 2 groups" in text for text in found["warnings"])


def test_evaluate_for_people(labelled: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(labelled), "-j", "1"])
    assert result.exit_code == 0
    assert "calm_clips: 6 s, " in result.stdout
    assert "false cuts an hour (95 %)" in result.stdout


def test_evaluate_a_csv_and_count_what_fails(labelled: Path) -> None:
    (labelled / "broken.mp4").write_bytes(b"no video" * 100)
    listed = labelled / "list.csv"
    listed.write_text(
        "path,label,group\nmade/violent/40.mp4,violent,a\nmade/calm/0.mp4,calm,b\nbroken.mp4,calm,c\n"
    )
    code, found = run("evaluate", str(listed), "-j", "1", "--score", "score_max")
    assert code == 0
    assert (found["clips"], found["failed"]) == (3, 1)
    assert set(found["by_group"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("path,label\nx.mp4,perhaps\n", "list.csv:2"),
        ("file,label\nx.mp4,calm\n", "no column path"),
    ],
)
def test_evaluate_names_the_bad_row(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    code, found = run("evaluate", str(tmp_path / "list.csv"))
    assert code == 1
    assert named in found["error"]


def test_evaluate_fails_when_nothing_could_be_judged(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\nabsent.mp4,calm\n")
    code, found = run("evaluate", str(tmp_path / "list.csv"), "-j", "1")
    assert code == 1
    assert "no clip could be judged" in found["error"]


def test_evaluate_fails_before_the_clips_are_judged(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for arguments, named in (
        (["--calm", str(tmp_path / "empty")], "no file in there"),
        (["--calm", str(tmp_path / "absent.mp4")], "is no file"),
        (["--against", str(tmp_path / "empty")], "a folder with manifest.json"),
        (["--plots", str(tmp_path / "file")], "--plots"),
    ):
        code, found = run("evaluate", str(labelled), "-j", "1", *arguments)
        assert code == 1
        assert named in found["error"]


def test_evaluate_wants_labels(tmp_path: Path) -> None:
    code, found = run("evaluate", str(tmp_path))
    assert code == 1
    assert "clips.csv" in found["error"]
