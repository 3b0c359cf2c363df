"""``edge-gate tune`` on real clips: figures, the cache, applying, and refusals."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.cli.app import app
from edge.detect import default_model_directory
from edge.detect.default_policy import default_policy
from edge.gate_process import GateProcess
from edge.policy import parse_policy
from edge.replay import ReplayPool
from tests.foreground import foreground

CLIPS = 4
"""Clips of each kind."""


@pytest.fixture(scope="module")
def listed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fights and calm scenes, each kind from several cameras."""
    rows = list(csv.DictReader((shared / "data" / "clips.csv").open()))
    listed = tmp_path_factory.mktemp("tune") / "list.csv"
    with listed.open("w") as file:
        file.write("path,start_s,end_s,label,group\n")
        for label in ("violent", "calm"):
            surveillance = [r for r in rows if r["label"] == label and "surveillance" in r["path"]]
            groups = {row["group"]: row for row in surveillance}
            for row in list(groups.values())[:CLIPS]:
                file.write(f"{shared / 'data' / row['path']},,,{label},{row['group']}\n")
    return listed


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tuned(listed: Path, cache: Path) -> Any:
    """The first run, which computes the scores."""
    code, found = run(listed, cache, "--max-false-cuts-per-hour", "0.1")
    assert code == 3, found
    return found


def run(data: Path, cache: Path, *arguments: str) -> tuple[int, Any]:
    where = ["tune", str(data), "--cache", str(cache), "-j", "2", "--json"]
    result = CliRunner().invoke(app, [*where, *arguments])
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def test_figures_of_real_clips_and_too_little_data(tuned: Any) -> None:
    assert (tuned["data"]["files"], tuned["data"]["violent_stretches"]) == (2 * CLIPS, CLIPS)
    assert tuned["basis"] == "cross_validated"
    proposal = tuned["proposal"]
    assert proposal["release_at"] <= proposal["raise_at"] <= proposal["flag_at"] <= proposal["cut_at"]
    assert parse_policy(json.dumps(tuned["policy"])).categories["fight"].flag_at == proposal["flag_at"]
    value, low, high = tuned["fitted"]["flag_recall"]
    assert 0 <= low <= value <= high <= 1
    assert value >= 0.75
    assert tuned["fitted"]["counts"]["false_cuts"] == 0
    assert tuned["fitted"]["false_cuts_per_hour"][2] > 100  # The rule of three over the seconds of footage.
    assert tuned["promise"]["asked"] == "false_cuts_per_hour"
    assert not tuned["promise"]["shown"]
    check = tuned["live_check"]
    assert check["files"] == 2 * CLIPS
    assert check["alike"] >= 2 * CLIPS - 1, check["differing"]


def test_a_second_run_scores_nothing(
    tuned: Any, listed: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reports(self: ReplayPool, paths: list[Path], *, windows: bool) -> Any:
        assert not paths
        return iter(())

    monkeypatch.setattr(ReplayPool, "reports", reports)
    page = tmp_path / "report.html"
    code, found = run(listed, cache, "--max-false-cuts-per-hour", "0.1", "--report", str(page))
    assert code == 3
    assert found["figures"] == tuned["figures"]
    assert found["live_check"] == tuned["live_check"]
    assert page.read_text().count("<svg") == 4


def test_a_table_for_people(tuned: Any, listed: Path, cache: Path) -> None:
    result = CliRunner().invoke(app, ["tune", str(listed), "--cache", str(cache), "--no-check"])
    assert result.exit_code == 0, result.output  # The run promises nothing, so it fails at nothing.
    for word in ("cut_at", "from calm", "95 %", "an hour"):
        assert word in result.output


def test_a_mixed_folder_is_tuned_on_and_says_what_is_left_out(
    tuned: Any, listed: Path, cache: Path, tmp_path: Path
) -> None:
    for row in csv.DictReader(listed.open()):
        folder = tmp_path / row["label"]
        folder.mkdir(exist_ok=True)
        (folder / Path(row["path"]).name).symlink_to(row["path"])
    (tmp_path / "calm" / "notes.txt").write_text("not a video\n")
    (tmp_path / "readme.mp4").touch()
    os.mkfifo(tmp_path / "violent" / "pipe.mp4")
    code, found = run(tmp_path, cache, "--no-check")
    assert code == 0
    assert (found["data"]["files"], found["data"]["failed"]) == (2 * CLIPS, [])
    assert {(Path(one["path"]).name, one["reason"]) for one in found["data"]["left_out"]} == {
        ("notes.txt", "not_media"),
        ("pipe.mp4", "not_a_file"),
        ("readme.mp4", "no_label"),
    }
    (tmp_path / "violent" / "torn.mp4").write_bytes(b"torn")
    people = CliRunner().invoke(app, ["tune", str(tmp_path), "--cache", str(cache), "--no-check"])
    assert people.exit_code == 1, "media could not be read"
    assert "cut_at" in people.stdout
    assert "torn.mp4: " in people.stderr
    assert "left out" in people.stderr


def test_apply_writes_a_new_version_of_a_file(tuned: Any, listed: Path, cache: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    before = default_policy(default_model_directory()).model_copy(update={"version": 7, "budget_ms": 300})
    policy.write_text(before.model_dump_json())
    arguments = ("--policy", str(policy), "--apply", "--no-check", "--max-false-cuts-per-hour", "0.1")
    code, found = run(listed, cache, *arguments)
    assert (code, found["applied"]) == (3, None)
    assert parse_policy(policy.read_bytes()) == before
    code, found = run(listed, cache, *arguments, "--force")
    assert "version 8" in found["applied"]
    after = parse_policy(policy.read_bytes())
    assert (after.version, after.budget_ms) == (8, 300)
    assert after.categories["fight"].cut_at == found["proposal"]["cut_at"]


def test_apply_stores_a_policy_in_a_running_gate(
    tuned: Any, listed: Path, cache: Path, tmp_path: Path
) -> None:
    with GateProcess(tmp_path / "gate", config="[workers]\ncount = 1\n") as gate:
        where = ("--gate", gate.grpc, "--tokens", str(gate.tokens))
        code, found = run(listed, cache, "--apply", "--force", "--no-check", "--reason", "spring", *where)
        assert code == 0, found
        version = int(found["applied"].rsplit(" ", 1)[1])
        assert version >= 2
        code, again = run(listed, cache, "--apply", "--force", "--no-check", *where)
        assert again["current"] == found["proposal"]  # The search started from the policy in force.


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--target-precision", "0.9", "--max-false-cuts-per-hour", "1"], "--max-false-cuts-per-hour"),
        (["--category", "gore"], "--category"),
        (["--policy", "absent.json"], "absent.json"),
        (["--apply", "--force", "--tokens", "absent.tokens"], "--tokens"),
        (["--apply"], "--target-precision"),
    ],
)
def test_what_is_refused_before_any_work(listed: Path, cache: Path, arguments: list[str], named: str) -> None:
    code, found = run(listed, cache, *arguments)
    assert code == 1
    assert named in found["error"]


def test_a_bad_line_is_named(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "x.mp4").touch()
    (tmp_path / "list.csv").write_text("path,start_s,end_s,label\nx.mp4,0,1,calm\nx.mp4,5,1,violent\n")
    code, found = run(tmp_path / "list.csv", cache)
    assert code == 1
    assert "list.csv:3: end_s 1 is not after start_s 5" in found["error"]


def test_ctrl_c_keeps_what_was_scored(shared: Path, listed: Path, tmp_path: Path) -> None:
    """Short clips and one of half an hour. The short ones are in the cache when the run is stopped."""
    data = tmp_path / "list.csv"
    long = shared / "data" / "long-calm" / "screencast.mp4"
    data.write_text(
        "path,label\n"
        + f"{long},calm\n"
        + "".join(f"{row['path']},{row['label']}\n" for row in list(csv.DictReader(listed.open()))[:2])
    )
    command = [
        sys.executable,
        "-m",
        "edge.cli",
        "tune",
        str(data),
        "--cache",
        str(tmp_path / "cache"),
        "-j",
        "2",
    ]
    process = subprocess.Popen(
        foreground(*command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while len(list((tmp_path / "cache").rglob("*.npz"))) < 2 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130
    assert "scores so far are kept" in said
    assert "Traceback" not in said
    kept = list((tmp_path / "cache").rglob("*"))
    assert len([path for path in kept if path.suffix == ".npz"]) == 2
    assert not [path for path in kept if path.name.endswith(".partial")]


@pytest.fixture(scope="module")
def sounds(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few recordings of audio alone, in folders that label them."""
    folder = tmp_path_factory.mktemp("sounds")
    rows = list(csv.DictReader((shared / "data" / "sounds" / "sounds.csv").open()))
    for label, sublabel in (("calm", "speech"), ("gunfire", "M249")):
        (folder / label).mkdir()
        for row in [row for row in rows if (row["label"], row["sublabel"]) == (label, sublabel)][:3]:
            path = shared / "data" / "sounds" / row["path"]
            (folder / label / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_category_of_audio_is_tuned_on_recordings_of_audio(sounds: Path, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(default_policy(default_model_directory()).model_dump_json())
    flags = ("--category", "gunfire", "--policy", str(file), "--apply", "--force")
    code, found = run(sounds, tmp_path, *flags)
    assert (code, found["promise"]["shown"], found["basis"]) == (3, False, "cross_validated")
    assert (found["data"]["files"], found["figures"]["positives"]) == (6, 3)
    assert found["figures"]["false_flags_per_hour"][2] > found["promise"]["wanted"] == 2.0
    assert parse_policy(file.read_bytes()).categories["gunfire"].flag_at == found["proposal"]["flag_at"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--category", "gunfire", "--target-precision", "0.9"], "--max-false-flags-per-hour"),
        (["--category", "scream"], "never acts alone"),
        (["--category", "knife"], "gunfire, explosion, scream, firearm"),
        (["--max-false-flags-per-hour", "1"], "of audio or single frames"),
    ],
)
def test_what_does_not_fit_the_category_is_refused(sounds: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["tune", str(sounds), *arguments])
    assert result.exit_code != 0
    assert said in " ".join(result.output.split())
