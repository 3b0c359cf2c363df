"""The promise on games, over real sounds and frames of games: none is cut, marked as games or not."""

from __future__ import annotations

import csv
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks._attack_media import AttackMedia
from benchmarks.attack import pack_with_ears
from edge.detect import default_model_directory, read_pack
from edge.detect.default_policy import default_policy
from edge.match import frames_of_audio
from edge.policy import Mode
from edge.replay import Replay, ReplaySetup
from edge.stream import MonoAudio, resampler
from tests.conftest import require

RATE = 16_000
EVERY = 6
"""One clip of so many is heard: a minute of audio of five games."""


@pytest.fixture(scope="module")
def played(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weapons and other sounds of games, one after another."""
    require(resampler() is not None, "soxr")
    sounds = shared / "data" / "sounds"
    with (sounds / "sounds.csv").open(encoding="utf-8") as file:
        games = [sounds / row["path"] for row in csv.DictReader(file) if row["label"] == "game"]
    heard = []
    for path in games[::EVERY]:
        mono = MonoAudio()
        heard += [
            mono.add_frame(frame, at_ms, restarted=False).samples for frame, at_ms in frames_of_audio(path)
        ]
    path = tmp_path_factory.mktemp("games") / "games.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        samples = np.clip(np.concatenate(heard) * 32767, -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def pack(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped pack, with the public network where it cannot hear."""
    shipped = read_pack(default_model_directory())
    return pack_with_ears(shipped, shared / "data", tmp_path_factory.mktemp("pack") / "pack").directory


@pytest.mark.parametrize("games", [False, True], ids=["unmarked", "marked"])
def test_no_audio_and_no_frame_of_a_game_is_cut(games: bool, pack: Path, played: Path, shared: Path) -> None:
    policy = default_policy(pack).model_copy(update={"mode": Mode.ENFORCE, "games": games})
    replay = Replay(ReplaySetup(pack, None, policy))
    pictures = sorted((shared / "data" / "clips" / "games").glob("*.mp4"))[::8]
    reports = [replay.run(path) for path in (played, *pictures)]
    assert [report.get("error") for report in reports] == [None] * len(reports)
    assert reports[0]["categories"]["gunfire"]["score_max"] > 0.1, "the game was heard"
    assert [report["path"] for report in reports if report["verdict"] == "cut"] == []
    assert {one["first_cut_s"] for report in reports for one in report["categories"].values()} == {None}


@pytest.mark.parametrize("number", [3])
def test_a_shooter_is_not_cut_by_what_it_shows_and_sounds_like(
    number: int, pack: Path, shared: Path, tmp_path: Path
) -> None:
    """Screenshots of a realistic shooter, weapon in hand, with audio of games, in an app not marked as
    games: the rule that cuts for gunfire and a firearm judges both."""
    policy = default_policy(pack).model_copy(update={"mode": Mode.ENFORCE})
    assert {"gunfire", "firearm"} <= policy.judged
    assert "gunfire-and-firearm" in {rule.name for rule in policy.acting_rules}
    programme = AttackMedia(shared / "data", tmp_path).programme("game", 20, number)
    report = Replay(ReplaySetup(pack, None, policy)).run(programme.path)
    assert report.get("error") is None
    assert report["categories"]["firearm"]["score_max"] > 0, "its frames were seen"
    assert report["first_cut_s"] is None
    assert report["verdict"] != "cut"
