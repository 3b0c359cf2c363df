"""Recorded files through the live pipeline: scores, errors of single files, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.cli.app import app
from edge.clock import SystemClock
from edge.containment import Measure, lacking
from edge.detect import Detector, default_model_directory
from edge.detect.default_policy import default_policy
from edge.domain import Action, Codec, Incident, Publish, Verdict, new_stream_id
from edge.evidence import Sampling, write_incident_record
from edge.evidence import write_clip as write_evidence
from edge.match import Bank, BankInfo, Matcher, VariantSet, available, fingerprint
from edge.policy import CategoryPolicy, Mode
from edge.replay import Replay, ReplaySetup
from edge.stream import StreamPipeline
from edge.stream.synthetic import encode
from tests.conftest import require
from tests.match.audio.audio_clips import melody
from tests.match.audio.audio_clips import write_clip as write_audio_clip

FIELDS = {
    "path",
    "duration_s",
    "samples",
    "score_max",
    "score_mean",
    "verdict",
    "shadow",
    "first_flag_s",
    "first_cut_s",
    "reason",
    "matches",
    "categories",
}


def write_clip(path: Path, seconds: int = 4, seed: int = 1) -> Path:
    """Moving textures at 25 fps, with enough structure for a perceptual hash."""
    source = np.random.default_rng(seed)
    texture = np.kron(source.integers(0, 255, (24, 32), dtype=np.uint8), np.ones((20, 20), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(25 * seconds):
            shifted = np.roll(texture, (2 * index, 3 * index), axis=(0, 1))[:240, :320]
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(shifted), format="gray"))
            )
        container.mux(stream.encode())
    return path


def setup(bank_dir: Path | None = None) -> ReplaySetup:
    model_dir = default_model_directory()
    return ReplaySetup(model_dir, bank_dir, default_policy(model_dir))


def test_a_report_has_its_fields_and_is_the_same_twice(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    replay = Replay(setup())
    first, second = replay.run(clip, windows=True), replay.run(clip, windows=True)
    assert first == second
    assert first.keys() == FIELDS | {"windows", "verdicts"}
    assert first["duration_s"] == pytest.approx(4.0, abs=0.1)
    scores = [score for _, score, category in first["windows"] if category == "fight"]
    assert first["samples"] == len(scores) >= 10
    assert first["score_max"] == max(scores)
    assert first["score_mean"] == pytest.approx(sum(scores) / len(scores), abs=1e-4)
    times = [at for at, *_ in first["windows"]]
    assert times == sorted(times)
    assert replay.run(clip).keys() == FIELDS
    fight = first["categories"]["fight"]
    assert fight["score_max"] == first["score_max"]
    assert fight["score_mean"] == first["score_mean"]


def test_a_category_says_when_it_was_flagged_and_cut_first(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    low = CategoryPolicy(raise_at=0.0, release_at=0.0, flag_at=0.0, cut_at=0.0)
    whole = setup()
    policy = whole.policy.model_copy(
        update={
            "mode": Mode.ENFORCE,
            "categories": {"fight": low},
        }
    )
    report = Replay(replace(whole, policy=policy)).run(clip)
    fight = report["categories"]["fight"]
    assert fight["first_flag_s"] == report["first_flag_s"]
    assert fight["first_cut_s"] == report["first_cut_s"]
    assert fight["first_cut_s"] > 0.2, "windows of one and two samples never act"


def test_known_footage_is_cut_by_the_match(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "known.mp4")
    bank = Bank.create(tmp_path / "banks" / "known", BankInfo(label="known_footage"))
    bank.add_footage([fingerprint(clip, entry_id="entry-1", variants=VariantSet.LIGHT)])
    report = Replay(setup(tmp_path / "banks")).run(clip)
    assert (report["verdict"], report["reason"]) == ("cut", "match")
    assert report["first_cut_s"] <= 2.0
    assert report["matches"][0]["entry"].endswith("entry-1")
    other = Replay(setup(tmp_path / "banks")).run(write_clip(tmp_path / "other.mp4", seed=2))
    assert other["matches"] == []


def test_what_cannot_be_judged_spares_the_rest(tmp_path: Path) -> None:
    good = write_clip(tmp_path / "b.mp4")
    (tmp_path / "a.mp4").write_bytes(b"\x00\x01random" * 500)
    (tmp_path / "notes.txt").write_text("not a video")
    (tmp_path / "c.mp4").write_bytes(good.read_bytes()[:3000])
    absent = tmp_path / "absent.mp4"
    result = CliRunner().invoke(app, ["replay", "--json", "-j", "2", str(tmp_path), str(absent)])
    assert result.exit_code == 1
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    names = ["a.mp4", "b.mp4", "c.mp4", "notes.txt", "absent.mp4"]
    assert [Path(report["path"]).name for report in reports] == names
    assert ["error" in report for report in reports] == [True, False, True, False, True]
    assert (reports[3]["left_out"], reports[3]["reason"]) == ("is no media", "not_media")
    for report in reports:
        if "error" in report:
            assert report["reason"]


def test_a_decoder_that_crashes_costs_only_its_own_file(tmp_path: Path) -> None:
    """A real segmentation fault in the process that judges one of three files."""
    for name in ("a.mp4", "crash.mp4", "z.mp4"):
        write_clip(tmp_path / name, seconds=1)
    script = tmp_path / "crashing.py"
    script.write_text(
        "import ctypes, sys\n"
        "from pathlib import Path\n"
        "from edge.replay import ReplayPool, report\n"
        "judge = report.Replay._judge\n"
        "def crash(self, path, windows):\n"
        "    if path.name == 'crash.mp4':\n"
        "        ctypes.string_at(0)\n"
        "    return judge(self, path, windows)\n"
        "report.Replay._judge = crash\n"
        "if __name__ == '__main__':\n"
        "    from edge.detect import default_model_directory\n"
        "    from edge.detect.default_policy import default_policy\n"
        "    model = default_model_directory()\n"
        "    setup = report.ReplaySetup(model, None, default_policy(model))\n"
        "    paths = sorted(Path(sys.argv[1]).glob('*.mp4'))\n"
        "    for index, said in sorted(ReplayPool(setup, 2).reports(paths, windows=False)):\n"
        "        print(paths[index].name, said.get('error', 'ok'))\n"
    )
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=100, check=True
    )
    assert result.stdout.splitlines() == [
        "a.mp4 ok",
        "crash.mp4 the decoder crashed on this file",
        "z.mp4 ok",
    ]


def test_an_error_of_a_library_costs_only_its_own_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    replay = Replay(setup())

    def judge(path: Path, windows: bool) -> dict[str, object]:
        raise KeyError("a side data type that nobody knows")

    replay._judge = judge  # type: ignore[method-assign]
    report = replay.run(tmp_path / "a.mp4")
    assert report["error"] == "unexpected KeyError: 'a side data type that nobody knows'"
    assert report["reason"] == "broken_media"
    assert "Traceback" not in capfd.readouterr().err


def test_known_audio_under_another_frame_is_flagged(tmp_path: Path) -> None:
    require(available(), "libchromaprint1")
    known = write_audio_clip(tmp_path / "known.mp4", melody(1, 12), seed=1)
    hidden = write_audio_clip(tmp_path / "hidden.mp4", melody(1, 12), seed=2)
    bank = Bank.create(tmp_path / "banks" / "known", BankInfo(label="known_footage"))
    bank.add_footage([fingerprint(known, entry_id="entry-1", variants=VariantSet.NONE)])
    replay = Replay(setup(tmp_path / "banks"))
    report = replay.run(hidden)
    assert (report["verdict"], report["reason"]) == ("flag", "sound")
    assert 5 <= report["first_flag_s"] <= 9
    (match,) = report["matches"]
    assert (match["entry"], match["by"], match["distance"]) == ("entry-1", "sound", -1)
    assert replay.run(write_audio_clip(tmp_path / "other.mp4", melody(2, 12), seed=2))["matches"] == []


def test_the_clip_of_an_incident_is_replayed_with_the_gates_own_draws(tmp_path: Path) -> None:
    """The worker draws for frames by their media time. The record beside the clip says how."""
    units = encode(frames=150, fps=25, gop=25, in_band=True, options={"tune": "zerolatency"}).units
    live = [replace(u, pts_ms=u.pts_ms + 90_000, dts_ms=u.dts_ms + 90_000) for u in units]
    watched = setup()
    pipeline = StreamPipeline(
        new_stream_id(),
        Codec.H264,
        b"",
        watched.policy,
        Detector.load(watched.model_dir),
        Matcher.open(None),
        SystemClock(),
        seed=b"the stream's",
    )
    judged = [pipeline.judge(s).verdict.pts_ms for u in live for s in pipeline.decode(u)]
    judged += [pipeline.judge(s).verdict.pts_ms for s in pipeline.drain()]
    clip = write_evidence(live, Codec.H264, b"", tmp_path, "in_1")
    incident = Incident("in_1", "st_1", Publish("grpc", "1", "live", "a", "a"), Verdict(Action.CUT, 0, 0), 0)
    replay = Replay(watched)

    def times(record: Sampling | None) -> list[float]:
        (tmp_path / "in_1.json").unlink(missing_ok=True)
        write_incident_record(incident, tmp_path, record)
        windows = replay.run(clip.path, windows=True)["windows"]
        return [time_s for time_s, _, category in windows if category == "fight"]

    recorded = Sampling(b"the stream's", clip.start_pts_ms)
    assert times(recorded) == [round((pts_ms - 90_000) / 1000, 3) for pts_ms in judged]
    assert times(recorded) != times(Sampling(b"another", clip.start_pts_ms))
    assert times(None) == times(None)


def test_a_process_that_media_has_taken_over_can_only_lie(tmp_path: Path) -> None:
    """It answers what is no report, or no JSON. It runs no code in its parent, and opens no other file."""
    for name in ("lies.mp4", "pickles.mp4", "reads.mp4"):
        write_clip(tmp_path / name, seconds=1)
    (tmp_path / "secret").write_text("x")
    script = tmp_path / "hostile.py"
    script.write_text(
        "import gc, os, pickle, sys\n"
        "from multiprocessing.connection import Connection\n"
        "from pathlib import Path\n"
        "from edge.replay import ReplayPool, pool, report\n"
        "class Bomb:\n"
        "    def __reduce__(self):\n"
        "        return (os.mkdir, (sys.argv[1] + '/exploded',))\n"
        "def take_over(self, path, windows):\n"
        "    if path.name == 'lies.mp4':\n"
        "        return {'verdict': 'pass'}\n"
        "    if path.name == 'reads.mp4':\n"
        "        return {'error': (path.parent / 'secret').read_text()}\n"
        "    for each in gc.get_objects():\n"
        "        if isinstance(each, Connection) and each.writable and each.readable:\n"
        "            each.send_bytes(pickle.dumps(Bomb()))\n"
        "    return {}\n"
        "report.Replay._judge = take_over\n"
        "if __name__ == '__main__':\n"
        "    from edge.detect import default_model_directory\n"
        "    from edge.detect.default_policy import default_policy\n"
        "    model = default_model_directory()\n"
        "    setup = report.ReplaySetup(model, None, default_policy(model))\n"
        "    paths = sorted(Path(sys.argv[1]).glob('*.mp4'))\n"
        "    for index, said in sorted(ReplayPool(setup, 1).reports(paths, windows=False)):\n"
        "        print(paths[index].name, said.get('error', 'ok'))\n"
    )
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=100, check=True
    )
    said = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert said["lies.mp4"] == "the process that judged it answered no report: KeyError"
    assert said["pickles.mp4"] == "the decoder crashed on this file"
    if Measure.LANDLOCK not in lacking():
        assert "Permission" in said["reads.mp4"]
    assert not (tmp_path / "exploded").exists()
