"""Recorded audio through the live path: with video, alone, in every usual container, and by rules."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.cli.app import app
from edge.detect import default_model_directory
from edge.detect.default_policy import default_policy
from edge.domain import Action, Severity
from edge.match import Bank, BankInfo, VariantSet, available, fingerprint
from edge.policy import Condition, Mode, When, WitnessRule
from edge.replay import Replay, ReplaySetup
from edge.stream import resampler
from tests.conftest import require
from tests.detect.tiny_pack import tiny_pack
from tests.evidence.sounds import RATE, bursts, write_sounding
from tests.match.audio.audio_clips import melody
from tests.match.audio.audio_clips import write_clip as write_audio_clip
from tests.shipped_pack import deaf_pack

SECONDS = 8
SHOTS = tuple(4 + n / 10 for n in range(12))
HEARD = {"gunfire", "explosion", "scream"}
CONTAINERS = {"m4a": "aac", "wav": "pcm_s16le", "mp3": "libmp3lame", "flac": "flac", "mp4": "aac"}


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(resampler() is not None, "soxr")
    return tiny_pack(tmp_path_factory.mktemp("model") / "pack")


@pytest.fixture(scope="module")
def sights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(resampler() is not None, "soxr")
    return tiny_pack(tmp_path_factory.mktemp("model") / "pack", sight=True)


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounding(tmp_path_factory.mktemp("clip") / "clip.mp4", bursts(SECONDS, SHOTS))


@pytest.fixture(scope="module")
def deaf_replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    model = deaf_pack(tmp_path_factory.mktemp("deaf"))
    return Replay(ReplaySetup(model, None, default_policy(model)))


def hears(pack: Path, **changes: object) -> Replay:
    return Replay(ReplaySetup(pack, None, default_policy(pack).model_copy(update=changes)))


def alone(path: Path, sound: np.ndarray, codec: str) -> Path:
    """A recording of audio without video."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.stack([sound, sound]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_gunfire_is_found_beside_the_frame(pack: Path, sounding: Path) -> None:
    replay = hears(pack)
    report = replay.run(sounding, windows=True)
    assert report["categories"].keys() == {"fight"} | HEARD
    gunfire = report["categories"]["gunfire"]
    assert gunfire["score_max"] > 0.6 > gunfire["score_mean"] > 0
    assert SHOTS[0] < gunfire["first_flag_s"] < SHOTS[0] + 2
    assert gunfire["first_cut_s"] is None
    assert (report["verdict"], report["reason"], report["shadow"]) == ("flag", "detector", True)
    assert report["first_flag_s"] == gunfire["first_flag_s"]
    fights = [score for _, score, category in report["windows"] if category == "fight"]
    assert (report["samples"], report["score_max"]) == (len(fights), max(fights))
    heard = [score for _, score, category in report["windows"] if category == "gunfire"]
    assert max(heard) == gunfire["score_max"]
    assert replay.run(sounding, windows=True) == report


def test_a_frame_is_judged_as_it_is_without_its_audio(
    pack: Path, sounding: Path, deaf_replay: Replay
) -> None:
    """Up to the shots: then audio asks to look closer."""
    with_audio, deaf = (r.run(sounding, windows=True) for r in (hears(pack), deaf_replay))
    before = [w for w in with_audio["windows"] if w[2] == "fight" and w[0] < SHOTS[0]]
    assert before == [w for w in deaf["windows"] if w[0] < SHOTS[0]]
    assert with_audio["samples"] > deaf["samples"]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_audio_alone_is_judged(suffix: str, pack: Path, tmp_path: Path) -> None:
    clip = alone(tmp_path / f"clip.{suffix}", bursts(SECONDS, SHOTS), CONTAINERS[suffix])
    report = hears(pack).run(clip)
    assert "error" not in report
    assert report["categories"].keys() == HEARD
    assert report["duration_s"] == pytest.approx(SECONDS, abs=0.1)
    assert SHOTS[0] < report["categories"]["gunfire"]["first_flag_s"] < SHOTS[0] + 2
    assert report["score_max"] == report["categories"]["gunfire"]["score_max"] > 0.6
    assert report["verdict"] == "flag"
    assert report["samples"] > 2 * SECONDS


def test_silence_has_scores_too(pack: Path, tmp_path: Path) -> None:
    report = hears(pack).run(alone(tmp_path / "calm.wav", bursts(3, ()), "pcm_s16le"))
    assert {one["score_max"] for one in report["categories"].values()} == {0.0}
    assert (report["verdict"], report["score_max"]) == ("pass", 0.0)


def test_a_shot_at_the_very_end_of_a_short_recording_counts(pack: Path, tmp_path: Path) -> None:
    clip = alone(tmp_path / "short.wav", bursts(0.6, (0.3, 0.4)), "pcm_s16le")
    assert hears(pack).run(clip)["categories"]["gunfire"]["score_max"] > 0.6


def test_a_rule_decides_as_it_does_live(pack: Path, tmp_path: Path) -> None:
    rule = WitnessRule(
        name="shots",
        when=When(all=(Condition(category="gunfire", at_least=0.6),)),
        then=Action.CUT,
        severity=Severity.SEVERE,
    )
    clip = alone(tmp_path / "clip.wav", bursts(SECONDS, SHOTS), "pcm_s16le")
    enforced = hears(pack, mode=Mode.ENFORCE, rules=(rule,)).run(clip)
    assert (enforced["verdict"], enforced["reason"], enforced["shadow"]) == ("cut", "rule", False)
    assert enforced["categories"]["gunfire"]["first_cut_s"] == enforced["first_cut_s"]
    games = hears(pack, mode=Mode.ENFORCE, rules=(rule,), games=True).run(clip)
    assert games["verdict"] == "flag"


@pytest.mark.parametrize("games", [False, True])
def test_two_witnesses_cut_as_they_do_live(games: bool, sights: Path, tmp_path: Path) -> None:
    """A bright frame is a firearm to the tiny model."""
    clip = write_sounding(tmp_path / "clip.mp4", bursts(SECONDS, SHOTS), brightness=240)
    report = hears(sights, mode=Mode.ENFORCE, games=games).run(clip)
    assert report["categories"].keys() == {"fight", "firearm", "blood"} | HEARD
    assert report["categories"]["firearm"]["first_flag_s"] < SHOTS[0] or games
    if games:
        assert (report["verdict"], report["first_cut_s"]) == ("flag", None)
    else:
        assert (report["verdict"], report["reason"], report["shadow"]) == ("cut", "rule", False)
        assert SHOTS[0] < report["first_cut_s"] < SHOTS[0] + 2


def test_what_the_policy_has_off_is_not_heard(pack: Path, sounding: Path) -> None:
    fights = {"fight": default_policy(pack).categories["fight"]}
    assert hears(pack, categories=fights).run(sounding)["categories"].keys() == {"fight"}


def test_audio_alone_that_nobody_hears_says_so(deaf_replay: Replay, tmp_path: Path) -> None:
    report = deaf_replay.run(alone(tmp_path / "clip.wav", bursts(1, ()), "pcm_s16le"))
    assert report["reason"] == "no_video"
    assert "nothing judges audio" in report["error"]


def test_known_audio_is_found_without_any_frame(tmp_path: Path) -> None:
    require(available(), "libchromaprint1")
    known = write_audio_clip(tmp_path / "known.mp4", melody(1, 12), picture=False)
    bank = Bank.create(tmp_path / "banks" / "known", BankInfo(label="known_footage"))
    bank.add_footage([fingerprint(known, entry_id="entry-1", variants=VariantSet.NONE)])
    model = default_model_directory()
    report = Replay(ReplaySetup(model, tmp_path / "banks", default_policy(model))).run(known)
    assert (report["verdict"], report["reason"]) == ("flag", "sound")
    assert [match["entry"] for match in report["matches"]] == ["entry-1"]


def test_the_command_prints_the_category_of_each_window(pack: Path, tmp_path: Path) -> None:
    """In a contained process, which can load no library any more."""
    clip = alone(tmp_path / "clip.wav", bursts(SECONDS, SHOTS), "pcm_s16le")
    arguments = ["replay", "--json", "--windows", "--model", str(pack), "-j", "1", str(clip)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {category for *_, category in report["windows"]} == HEARD
    assert report["verdict"] == "flag"
    shown = CliRunner().invoke(app, [arguments[0], *arguments[2:]])
    assert " gunfire\n" in shown.stdout
    assert "(gunfire)" in shown.stdout
