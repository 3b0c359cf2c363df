"""``edge-gate bank add`` and ``bank match`` on folders as people have them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.cli.bank import app
from tests.cli.test_bank_add import make_video, waves

runner = CliRunner()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=4)


def write_image(path: Path, number: int) -> None:
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as media:
        stream = media.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 256, 144, "gray"
        picture = np.zeros((144, 256), np.uint8) if number < 0 else waves(number)
        media.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")))
        media.mux(stream.encode())


def add(folder: Path, *more: str) -> tuple[int, Any]:
    bank = str(folder.parent / "banks" / "known")
    command = ["add", str(folder), *more, "--bank", bank, "--no-sound", "--variants", "light", "--json"]
    result = runner.invoke(app, command)
    return result.exit_code, json.loads(result.stdout)


def drop(folder: Path, clip: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    shutil.copy(clip, folder / "clip")
    shutil.copy(clip, folder / "copy.mp4")
    write_image(folder / "deep" / "still.png", 40)
    (folder / "notes.txt").write_text("not a video\n")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "loop").symlink_to(folder)
    return folder


def test_a_folder_is_added_and_the_rest_is_listed(tmp_path: Path, clip: Path) -> None:
    folder = drop(tmp_path / "folder", clip)
    code, said = add(folder)
    assert code == 0, said
    assert [(Path(one["path"]).name, one["kind"]) for one in said["added"]] == [
        ("clip", "video"),
        ("still.png", "image"),
    ]
    assert {Path(one["path"]).name: one["reason"] for one in said["left_out"]} == {
        "copy.mp4": "already_exists",
        "notes.txt": "not_media",
        "pipe.mp4": "not_a_file",
        "loop": "linked_folder",
    }
    # What came later is added, and what is there is no error.
    write_image(folder / "late.png", 55)
    code, said = add(folder)
    assert code == 0
    assert [Path(one["path"]).name for one in said["added"]] == ["late.png"]
    assert add(folder)[0] == 0


def test_media_that_cannot_be_added_is_a_failure_and_the_rest_is_added(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(clip, folder / "good.mp4")
    (folder / "torn.mp4").write_bytes(clip.read_bytes()[:500])
    write_image(folder / "black.png", -1)
    code, said = add(folder)
    assert code == 1
    assert [Path(one["path"]).name for one in said["added"]] == ["good.mp4"]
    why = {Path(one["path"]).name: one["left_out"] for one in said["left_out"]}
    assert "PDQ quality" in why["black.png"]
    assert "cannot be read as media" in why["torn.mp4"]


def test_a_named_file_that_fails_leaves_the_bank_alone(tmp_path: Path, clip: Path) -> None:
    folder = drop(tmp_path / "folder", clip)
    code, said = add(folder, str(folder / "notes.txt"))
    assert code == 1
    assert said["reason"] == "not_media"
    assert not (tmp_path / "banks").exists() or not list((tmp_path / "banks").glob("*.bank"))


def test_a_folder_without_media_makes_no_bank(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("not a video\n")
    code, said = add(folder)
    assert code == 1
    assert said["added"] == []
    assert not (tmp_path / "banks").exists()


def test_people_are_told_what_is_left_out(tmp_path: Path, clip: Path) -> None:
    folder = drop(tmp_path / "folder", clip)
    (folder / "a\nerror: b.txt").write_text("neither\n")
    result = runner.invoke(app, ["add", str(folder), "--bank", str(tmp_path / "known"), "--no-sound"])
    assert result.exit_code == 0
    assert f"left out {folder}/a\\nerror: b.txt: is no media" in result.stderr
    assert f"left out {folder / 'notes.txt'}: is no media" in result.stderr
    assert f"left out {folder / 'copy.mp4'}: is the same as {folder / 'clip'}" in result.stderr
    other = runner.invoke(app, ["add", str(folder), "--bank", str(tmp_path / "known"), "--id", "one"])
    assert other.exit_code == 2


def test_one_file_that_cannot_be_read_does_not_end_bank_match(tmp_path: Path, clip: Path) -> None:
    folder = drop(tmp_path / "folder", clip)
    add(folder)
    (tmp_path / "torn.mp4").write_bytes(clip.read_bytes()[:500])
    command = ["match", str(tmp_path / "torn.mp4"), str(folder), "--banks", str(tmp_path / "banks")]
    result = runner.invoke(app, [*command, "--json"])
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert "error" in lines[0]
    assert [Path(line["path"]).name for line in lines if "matches" in line] == [
        "clip",
        "copy.mp4",
        "still.png",
    ]
    assert {Path(line["path"]).name for line in lines if "left_out" in line} == {
        *("notes.txt", "pipe.mp4", "loop")
    }
    people = runner.invoke(app, command)
    assert f"error: {tmp_path / 'torn.mp4'}: " in people.stderr
    assert runner.invoke(app, ["match", str(folder), "--banks", str(tmp_path / "banks")]).exit_code == 0
