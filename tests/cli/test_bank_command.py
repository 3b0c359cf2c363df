"""``edge-gate bank`` on real files."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.cli.bank import app
from edge.match import Bank, Matcher, frames_of
from edge.match.bank.manifest import CHANGED_BY
from edge.match.bank.verified_copies import Extent, refresh_copies
from edge.reasons import AlarmReason

runner = CliRunner()


def make_video(path: Path, seed: int = 1, frames: int = 20) -> Path:
    """A second of moving waves, really encoded."""
    rng = np.random.default_rng(seed)
    speed = rng.uniform(-0.3, 0.3, (8, 3))
    y, x = np.mgrid[0:144, 0:256]
    with av.open(str(path), "w") as media:
        stream = media.add_stream("libx264", rate=20, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 256, 144, "yuv420p"
        for i in range(frames):
            total = np.full((144, 256), 128.0)
            for n, (a, b, c) in enumerate(speed):
                total += 28 * np.sin(a * y + b * x + c * i + n)
            grey = np.asarray(np.clip(total, 0, 255), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")):
                media.mux(packet)
        for packet in stream.encode():
            media.mux(packet)
    return path


def run(*arguments: object) -> Any:
    """The JSON that a command prints."""
    result = runner.invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_add_list_export_and_match(tmp_path: Path) -> None:
    one, two = make_video(tmp_path / "one.mp4", 1), make_video(tmp_path / "two.mp4", 2)
    bank = tmp_path / "banks" / "known"
    added = run("add", one, two, "--bank", bank, "--label", "fight", "--severity", "critical")["added"]
    assert [a["path"] for a in added] == [str(one), str(two)]
    assert all(a["hashes"] >= 10 for a in added)

    (listed,) = run("list", bank.parent)["banks"]
    assert (listed["name"], listed["label"], listed["severity"]) == ("known", "fight", "critical")
    assert listed["entries"] == 2
    shown = run("list", bank, "--limit", 1)
    assert (shown["entries"], len(shown["shown"])) == (2, 1)

    exported = runner.invoke(app, ["export", str(bank)]).stdout.splitlines()
    assert exported[0].startswith("entry,kind,label,start_ms,span_ms,quality,hash,variant")
    assert len(exported) == 1 + sum(a["hashes"] for a in added)

    matcher = Matcher.open(bank.parent)
    for _, _, luma in frames_of(two):
        candidates = matcher.query(luma)
        assert candidates[0].entry == added[1]["id"]
        assert candidates[0].distance <= 6


def test_the_same_file_twice_is_refused_and_nothing_is_half_added(tmp_path: Path) -> None:
    one, two = make_video(tmp_path / "one.mp4", 1), make_video(tmp_path / "two.mp4", 2)
    bank = tmp_path / "known"
    run("add", one, "--bank", bank)
    result = runner.invoke(app, ["add", str(two), str(one), "--bank", str(bank), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "already_exists"
    assert Bank.open(bank).manifest.entries == 1


def test_what_cannot_be_fingerprinted_is_named(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(1).bytes(5000))
    flat = tmp_path / "flat.png"
    with av.open(str(flat), "w") as media:
        stream = media.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64), np.uint8), format="gray")
        media.mux(stream.encode(frame))
    for path, problem in (
        (noise, "noise.mp4"),
        (flat, "PDQ quality of 50"),
        (tmp_path / "absent.mp4", "no such file"),
    ):
        result = runner.invoke(app, ["add", str(path), "--bank", str(tmp_path / "known")])
        assert result.exit_code == 1
        assert problem in result.stderr
    result = runner.invoke(app, ["list", str(tmp_path / "none")])
    assert (result.exit_code, "no bank" in result.stderr) == (1, True)


def test_a_list_goes_in_out_and_in_again(tmp_path: Path) -> None:
    source = tmp_path / "list.txt"
    digits = [np.random.default_rng(i).bytes(32).hex() for i in range(50)]
    source.write_text("".join(f"{d}\n" for d in digits))
    bank = tmp_path / "known"
    said = run("import", source, "--bank", bank, "--label", "fight", "--checkpoint", "page-3")
    assert (said["format"], said["added"], said["checkpoints"]) == ("pdq", 50, {"list.txt": "page-3"})
    assert run("import", source, "--bank", bank, "--label", "fight")["skipped"] == 50

    video = make_video(tmp_path / "one.mp4")
    entry = run("add", video, "--bank", bank, "--id", "one")["added"][0]["id"]
    for form in ("csv", "jsonl"):
        exported = runner.invoke(app, ["export", str(bank), "--format", form])
        assert exported.exit_code == 0
        copy = tmp_path / f"copy.{form}"
        copy.write_text(exported.stdout)
        assert run("import", copy, "--bank", tmp_path / f"copy-{form}")["added"] == 51
        again = Bank.open(tmp_path / f"copy-{form}").footage()
        assert {f.entry.id: f.hashes for f in again} == {
            f.entry.id: f.hashes for f in Bank.open(bank).footage()
        }
    one = runner.invoke(app, ["export", str(bank), "--entry", entry, "--format", "vpdq"]).stdout
    assert len(one.splitlines()[0].split(",")) == 4
    assert run("verify", tmp_path)["banks"][0]["entries"] == 51


def test_match_finds_a_banked_video_and_an_image_and_nothing_else(tmp_path: Path) -> None:
    known, other = make_video(tmp_path / "known.mp4", 1), make_video(tmp_path / "other.mp4", 2)
    run("add", known, "--bank", tmp_path / "banks" / "known", "--label", "fight")
    found = run("match", known, "--banks", tmp_path / "banks")
    (counted,) = found["matches"]
    assert (counted["bank"], counted["category"]) == ("known", "fight")
    assert counted["first_s"] <= 0.6
    assert "slope=1.0" in counted["detail"]
    assert run("match", other, "--banks", tmp_path / "banks")["matches"] == []

    _, _, luma = next(iter(frames_of(known)))
    still = tmp_path / "still.png"
    with av.open(str(still), "w") as media:
        stream = media.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = luma.shape[1], luma.shape[0], "gray"
        media.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(luma), format="gray")))
    assert len(run("match", still, "--banks", tmp_path / "banks")["matches"]) == 1


def test_entries_are_switched_off_and_on_and_taken_out(tmp_path: Path) -> None:
    bank = tmp_path / "banks" / "known"
    video = make_video(tmp_path / "one.mp4")
    run("add", video, "--bank", bank, "--id", "one")
    frame = next(luma for _, _, luma in frames_of(video))
    assert run("disable", "one", "--bank", bank)["disabled"] == ["one"]
    assert Matcher.open(bank.parent).query(frame) == ()
    run("enable", "one", "--bank", bank)
    assert Matcher.open(bank.parent).query(frame)
    run("quarantine", "one", "--bank", bank)
    assert run("list", bank)["shown"][0]["quarantined"]
    run("release", "one", "--bank", bank)
    assert not run("list", bank)["shown"][0]["quarantined"]
    run("remove", "one", "--bank", bank)
    assert Matcher.open(bank.parent).query(frame) == ()
    assert run("compact", bank)["bytes_after"] == 0
    result = runner.invoke(app, ["remove", "one", "--bank", str(bank)])
    assert (result.exit_code, "no entry of bank known" in result.stderr) == (1, True)


def test_who_changes_a_bank_is_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate of a fleet tells the others whom."""
    bank = tmp_path / "banks" / "known"

    def by() -> str:
        return Bank.open(bank).manifest.checkpoints[CHANGED_BY]

    video = make_video(tmp_path / "one.mp4")
    run("add", video, "--bank", bank, "--id", "one", "--by", "anna")
    assert by() == "anna"
    run("quarantine", "one", "--bank", bank, "--by", "berta")
    assert by() == "berta"
    hashes = tmp_path / "list.pdq"
    hashes.write_text("0f" * 32 + "\n")
    run("import", hashes, "--bank", bank, "--format", "pdq", "--by", "carla")
    assert by() == "carla"
    run("set", bank, "--severity", "low", "--by", "dora")
    assert by() == "dora"
    monkeypatch.setenv("LOGNAME", "eva")
    run("remove", "one", "--bank", bank)
    assert by() == "eva"


def test_a_damaged_bank_fails_verification(tmp_path: Path) -> None:
    bank = tmp_path / "banks" / "known"
    run("add", make_video(tmp_path / "one.mp4"), "--bank", bank)
    segment = next(bank.parent.glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[-1] ^= 16
    segment.write_bytes(content)
    result = runner.invoke(app, ["verify", str(bank.parent), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "bank"


def test_a_failed_import_does_not_leave_a_new_bank_behind(tmp_path: Path) -> None:
    source = tmp_path / "list.txt"
    source.write_text("0" * 64 + "\nrubbish\n")
    result = runner.invoke(app, ["import", str(source), "--bank", str(tmp_path / "known"), "--json"])
    assert result.exit_code == 1
    assert ":2: hash" in json.loads(result.stdout)["error"]
    assert not list(tmp_path.glob("*.bank"))


def test_what_is_said_about_a_bank_is_set_and_checked(tmp_path: Path) -> None:
    bank = tmp_path / "harmless"
    made = run("set", bank, "--opinion", "benign", "--note", "our own intros")
    assert (made["opinion"], made["note"], made["enabled"]) == ("benign", "our own intros", True)
    changed = run("set", bank, "--disabled", "--enabled-ratio", "0.25", "--expires", "2030-01-02")
    assert (changed["opinion"], changed["enabled"], changed["enabled_ratio"]) == ("benign", False, 0.25)
    assert changed["expires_ms"] == 1_893_542_400_000
    assert run("set", bank) == changed
    result = runner.invoke(app, ["set", str(bank), "--enabled-ratio", "2", "--json"])
    assert result.exit_code == 1
    assert "bank.enabled_ratio" in json.loads(result.stdout)["error"]
    assert run("set", bank) == changed


@pytest.mark.parametrize("as_json", [False, True])
def test_a_full_disk_is_said_and_leaves_the_bank_whole(tmp_path: Path, as_json: bool) -> None:
    bank, source = tmp_path / "known", tmp_path / "list.txt"
    source.write_text("".join(f"{n:064x}\n" for n in range(100)))
    run("import", source, "--bank", bank)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    more = tmp_path / "more.txt"
    more.write_text("".join(f"{n:064x}\n" for n in range(100, 1000)))
    option = ["--json"] if as_json else []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        result = runner.invoke(app, ["import", str(more), "--bank", str(bank), *option])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    if as_json:
        assert json.loads(result.stdout) == {"error": "File too large", "reason": "system"}
    else:
        assert (result.stdout, result.stderr) == ("", "error: File too large\n")
    more.unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert run("verify", bank)["banks"][0]["entries"] == 100


def test_a_bank_that_cannot_be_made_is_said_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = runner.invoke(app, ["set", str(tmp_path / "file" / "known"), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"error": f"{tmp_path / 'file'}: File exists", "reason": "system"}


@pytest.mark.parametrize("device", ["/dev/full", "pipe"])
def test_output_that_nobody_can_take_ends_without_a_traceback(tmp_path: Path, device: str) -> None:
    run("set", tmp_path / "known")
    command = [sys.executable, "-m", "edge.cli", "bank", "list", str(tmp_path), "--json"]
    if device == "pipe":
        reader, out = os.pipe()
        os.close(reader)
    else:
        out = os.open(device, os.O_WRONLY)
    with os.fdopen(out, "w") as taken:
        result = subprocess.run(command, stdout=taken, stderr=subprocess.PIPE, text=True)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert ("No space left on device" in result.stderr) == (device != "pipe")


def test_accept_says_that_a_loss_is_meant_also_of_a_bank_that_is_gone(tmp_path: Path) -> None:
    bank, copies = tmp_path / "banks" / "known", tmp_path / "copies"
    run("add", make_video(tmp_path / "one.mp4"), "--bank", bank, "--variants", "none")
    assert refresh_copies(bank.parent, copies, Extent.NEW) == ()
    for path in bank.parent.glob("known*"):
        path.unlink()
    assert [p.reason for p in refresh_copies(bank.parent, copies, Extent.NEW)] == [AlarmReason.MISSING]
    assert run("accept", bank) == {"bank": f"{bank}.bank", "entries": 0}
    assert refresh_copies(bank.parent, copies, Extent.NEW) == ()
    assert list(Bank.open(copies / "known").entries()) == []
    bank.with_suffix(".bank").unlink()
    assert refresh_copies(bank.parent, copies, Extent.NEW) == ()
    assert not (copies / "known.bank").exists()
