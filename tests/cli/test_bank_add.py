"""``edge-gate bank add`` on damaged files and on files of phones."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from typer.testing import CliRunner

from edge.cli.bank import app
from edge.match import Matcher, MatchVote, look_up

runner = CliRunner()
U8 = npt.NDArray[np.uint8]


def waves(number: int) -> U8:
    y, x = np.mgrid[0:144, 0:256]
    total = 128 + sum(
        25 * np.sin(x / (6 + 3 * n) + y / (9 + 2 * n) + number * n / 5) + 12 * np.cos(x * y / 9000 + n)
        for n in range(5)
    )
    return np.asarray(np.clip(total, 0, 255), np.uint8)


def make_video(path: Path, frames: int = 60, degrees: int = 0) -> Path:
    """Waves, encoded so that the file's rotation puts them upright."""
    with av.open(str(path), "w") as media:
        stream = media.add_stream("libx264", rate=20, options={"preset": "ultrafast", "g": "20"})
        stream.width, stream.height = (256, 144) if degrees == 0 else (144, 256)
        stream.pix_fmt = "yuv420p"
        stream.set_display_rotation(degrees)
        for number in range(frames):
            coded = np.ascontiguousarray(np.rot90(waves(number), -degrees // 90))
            media.mux(stream.encode(av.VideoFrame.from_ndarray(coded, format="gray")))
        media.mux(stream.encode())
    return path


def damage(path: Path, *packets: int) -> Path:
    with av.open(str(path)) as media:
        places = [(p.pos, p.size) for p in media.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    for number in packets:
        start, size = places[number]
        assert start is not None
        content[start : start + size] = np.random.default_rng(number).bytes(size)
    path.write_bytes(content)
    return path


def test_what_comes_after_a_damaged_packet_is_known_and_the_packet_is_counted(tmp_path: Path) -> None:
    whole, broken = make_video(tmp_path / "whole.mp4"), make_video(tmp_path / "broken.mp4")
    damage(broken, 18, 19)
    command = ["add", str(broken), str(whole), "--bank", str(tmp_path / "banks" / "known"), "--no-sound"]
    result = runner.invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    added = json.loads(result.stdout)["added"]
    assert [(one["damaged_packets"], one["duration_ms"]) for one in added] == [(2, 2950), (0, 2950)]
    assert added[0]["hashes"] > 0.9 * added[1]["hashes"]
    command[-2] = str(tmp_path / "other")
    said = runner.invoke(app, command)
    assert said.exit_code == 0
    assert f"{broken}: 2 damaged packets are left out" in said.stderr
    assert str(whole) not in said.stderr


def test_a_file_that_is_damaged_over_a_long_stretch_is_refused(tmp_path: Path) -> None:
    broken = damage(make_video(tmp_path / "broken.mp4", frames=120), *range(20, 90))
    command = ["add", str(broken), "--bank", str(tmp_path / "known"), "--no-sound", "--json"]
    result = runner.invoke(app, command)
    assert result.exit_code == 1
    assert "over 60 packets in a row after 0.9 s" in json.loads(result.stdout)["error"]
    assert not list(tmp_path.glob("*.bank"))


def test_footage_of_a_telephone_is_found_when_it_is_shown_upright(tmp_path: Path) -> None:
    phone = make_video(tmp_path / "phone.mp4", degrees=-90)
    command = ["add", str(phone), "--bank", str(tmp_path / "banks" / "known"), "--no-sound", "--id", "phone"]
    assert runner.invoke(app, command).exit_code == 0
    upright = make_video(tmp_path / "upright.mp4")
    for file in (upright, phone):
        found = look_up(file, Matcher.open(tmp_path / "banks"), MatchVote()).found
        assert [one.entry for one in found] == ["phone"]
