"""What commands take of a folder, and what they say of the rest."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from edge.cli.app import app
from edge.errors import LimitExceeded
from edge.replay import FoundFiles, LeftOut, files, left_out_of
from tests.match.audio.audio_clips import melody
from tests.match.audio.audio_clips import write_clip as write_audio_clip
from tests.replay.test_replay import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=1)


def drop(folder: Path, clip: Path) -> Path:
    """A folder as people have them. Returns it."""
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".git").mkdir()
    shutil.copy(clip, folder / ".git" / "hidden.mp4")
    shutil.copy(clip, folder / "a.mp4")
    shutil.copy(clip, folder / "no-ending")
    shutil.copy(clip, folder / "deep" / "er" / "B.MKV")
    (folder / "link.mp4").symlink_to(clip)
    (folder / "loop").symlink_to(folder)
    (folder / ".#lock").symlink_to("nobody@nowhere:1")
    (folder / "notes.txt").write_text("not a video\n")
    (folder / "list.csv").write_text("a,b\n")
    (folder / "empty").touch()
    (folder / "._a.mp4").write_bytes(b"\0\5\x16\7Mac OS X        ")
    os.mkfifo(folder / "pipe.mp4")
    return folder


def test_a_folder_gives_all_that_may_be_media_and_says_what_is_not(tmp_path: Path, clip: Path) -> None:
    folder = drop(tmp_path, clip)
    found = FoundFiles.of([folder])
    names = ["._a.mp4", "a.mp4", "deep/er/B.MKV", "empty", "link.mp4", "list.csv", "no-ending", "notes.txt"]
    assert [str(path.relative_to(folder)) for path in found.files] == names
    said = {each.path.name: (each.reason, each.failed) for each in found.left_out}
    assert said == {
        ".#lock": ("broken_link", False),
        ".git": ("hidden_folder", False),
        "loop": ("linked_folder", False),
        "pipe.mp4": ("not_a_file", False),
    }
    assert found.in_folders == set(range(len(names)))


def test_a_broken_link_that_promises_media_fails_visibly(tmp_path: Path) -> None:
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "absent.mp4")
    assert FoundFiles.of([tmp_path]).files == [tmp_path / "gone.mp4"]


def test_sockets_and_devices_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.mp4")
        (tmp_path / "null.mp4").symlink_to("/dev/null")
        found = FoundFiles.of([tmp_path])
    assert found.files == []
    assert {each.why for each in found.left_out} == {"is a socket", "is a device"}


def test_named_files_are_taken_by_their_word(tmp_path: Path, clip: Path) -> None:
    """Whoever names a file wants it, and it fails where it cannot be had."""
    report = {"path": "notes.txt", "error": "notes.txt: is no media", "reason": "not_media"}
    (tmp_path / "notes.txt").touch()
    named = FoundFiles.of([tmp_path / "notes.txt", tmp_path / "absent.mp4"])
    assert len(named.files) == 2
    assert named.left_out_for(0, report) is None
    assert left_out_of(Path("notes.txt"), report) == LeftOut(Path("notes.txt"), "is no media", "not_media")
    assert left_out_of(Path("x"), {"path": "x", "verdict": "pass"}) is None
    assert left_out_of(Path("x"), {"path": "x", "error": "torn", "reason": "broken_media"}) is None


def test_folders_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    for number in range(6):
        (tmp_path / "deep" / f"{number}.mp4").touch()
    monkeypatch.setattr(files, "MAX_FILES", 5)
    with pytest.raises(LimitExceeded, match="6 files is over the limit of 5"):
        FoundFiles.of([tmp_path])


def test_a_folder_that_cannot_be_read_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("edge.replay.files.os.scandir", scandir)
    [left_out] = FoundFiles.of([tmp_path]).left_out
    assert (left_out.why, left_out.reason, left_out.failed) == ("Permission denied", "unreadable", True)


def test_replay_judges_a_mixed_folder_and_ends_with_success(tmp_path: Path, clip: Path) -> None:
    """It took only names of a list, and left everything else out in silence."""
    folder = drop(tmp_path, clip)
    write_audio_clip(folder / "song.wav", melody(1, 2), picture=False)
    result = CliRunner().invoke(app, ["replay", "--json", "-j", "1", str(folder)])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    judged = [Path(line["path"]).name for line in lines if "verdict" in line]
    assert judged == ["a.mp4", "B.MKV", "link.mp4", "no-ending"]
    others = {Path(line["path"]).name: line["reason"] for line in lines if "left_out" in line}
    assert others == {
        **dict.fromkeys(("._a.mp4", "empty", "list.csv", "notes.txt"), "not_media"),
        "song.wav": "too_short",  # AAC in a WAV file: nothing of it can be decoded
        "pipe.mp4": "not_a_file",
        "loop": "linked_folder",
        ".git": "hidden_folder",
        ".#lock": "broken_link",
    }
    people = CliRunner().invoke(app, ["replay", "-j", "1", str(folder)])
    assert people.exit_code == 0
    assert f"left out {folder / 'notes.txt'}: is no media" in people.stderr
    assert "notes.txt" not in people.stdout


def test_a_still_frame_is_not_said_to_have_passed(tmp_path: Path, clip: Path) -> None:
    """Its verdict was ``pass`` after no sample."""
    with av.open(str(clip)) as media:
        next(media.decode(video=0)).save(tmp_path / "still.png")
    shutil.copy(clip, tmp_path / "clip.mp4")
    result = CliRunner().invoke(app, ["replay", "--json", "-j", "1", str(tmp_path)])
    assert result.exit_code == 0
    moving, still = [json.loads(line) for line in result.stdout.splitlines()]
    assert "verdict" in moving
    assert (still["reason"], "verdict" in still) == ("too_short", False)
    named = CliRunner().invoke(app, ["replay", "--json", "-j", "1", str(tmp_path / "still.png")])
    assert named.exit_code == 1
    assert "bank match" in json.loads(named.stdout)["error"]


def test_replay_of_a_folder_without_media_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a video\n")
    result = CliRunner().invoke(app, ["replay", "-j", "1", str(tmp_path)])
    assert result.exit_code == 1
    assert "notes.txt: is no media" in result.stderr


def test_damaged_media_in_a_folder_is_a_failure(tmp_path: Path, clip: Path) -> None:
    shutil.copy(clip, tmp_path / "good.mp4")
    (tmp_path / "torn.mp4").write_bytes(clip.read_bytes()[:3000])
    result = CliRunner().invoke(app, ["replay", "--json", "-j", "1", str(tmp_path)])
    assert result.exit_code == 1
    good, torn = [json.loads(line) for line in result.stdout.splitlines()]
    assert "verdict" in good
    assert torn["reason"] == "broken_media"


def test_av_knows_formats_by_these_names() -> None:
    """What is left out as text or as a list goes by FFmpeg's names of formats."""
    assert {"tty", "concat", "hls"} <= av.formats_available
