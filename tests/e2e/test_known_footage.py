"""A banked video, published over RTMP mirrored and letterboxed, is cut by the match."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers.publisher import Publisher
from edge.containment import lacking
from edge.gate_process import GateProcess
from edge.match import Bank, BankInfo, VariantSet, available, fingerprint
from tests.conftest import require
from tests.match.audio.audio_clips import melody, write_clip
from tests.running_gate import until_metric

pytestmark = pytest.mark.integration


@pytest.fixture
def known(shared: Path) -> Path:
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    return shared / "reference" / "pdq" / "videos" / "pattern-hd-no-bar.mp4"


def changed(source: Path, target: Path) -> Path:
    """The evader's version: mirrored, letterboxed, smaller and encoded anew."""
    filters = "hflip,scale=360:640,pad=iw:ceil(ih*2/3)*2:0:-1"
    encode = ["-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", "30", "-g", "30", "-bf", "0"]
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-vf", filters, *encode, str(target)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
    return target


def events(ingest: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yields the ingest's lines as they come. The time limit ends a test that waits in vain."""
    assert ingest.stdout is not None
    for line in ingest.stdout:
        yield json.loads(line)


@contextmanager
def published(media: Path, data_dir: Path, *, sound: bool = False) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines of the reference ingest while a file is published to it, beside its own gate."""
    containment = "try" if lacking() else "require"
    config = f'containment = "{containment}"\n[workers]\ncount = 1\n'
    with GateProcess(data_dir, config=config) as gate:
        if containment == "require":
            until_metric(gate, 'edge_contained{measure="landlock",process="worker"} 1.0')
            until_metric(gate, 'edge_contained{measure="seccomp",process="worker"} 1.0')
        command = [sys.executable, "-m", "edge.cli", "ingest", "--listen", "127.0.0.1:0", "--trust-user"]
        command += ["--gate", gate.grpc]
        with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as ingest:
            try:
                said = events(ingest)
                ready = next(event for event in said if event["event"] == "ready")
                with Publisher(f"rtmp://{ready['rtmp']}/live/cam?user=u1&key=k1", media, sound=sound):
                    yield said
            finally:
                ingest.terminate()
        assert "cannot import" not in gate.log()


def test_known_footage_is_cut_although_it_is_mirrored_and_letterboxed(known: Path, tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "gate" / "banks" / "known", BankInfo(label="known_footage"))
    bank.add_footage([fingerprint(known, entry_id="pattern", variants=VariantSet.LIGHT)])
    copy = changed(known, tmp_path / "copy.flv")
    with published(copy, tmp_path / "gate") as said:
        cut = next(e for e in said if e["event"] == "judged" and e["action"] == "cut")
        next(e for e in said if e["event"] == "cut_confirmed")
    assert cut["reason"] == "match"
    assert cut["category"] == "known_footage"
    assert cut["pts_ms"] <= 3000


def test_known_audio_under_another_frame_is_flagged(tmp_path: Path) -> None:
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    require(available(), "libchromaprint1")
    known = write_clip(tmp_path / "known.mp4", melody(1, 14), seed=1, seconds=14)
    hidden = write_clip(tmp_path / "hidden.flv", melody(1, 14), seed=2, seconds=14)
    bank = Bank.create(tmp_path / "gate" / "banks" / "known", BankInfo(label="known_footage"))
    bank.add_footage([fingerprint(known, entry_id="known", variants=VariantSet.LIGHT)])
    with published(hidden, tmp_path / "gate", sound=True) as said:
        flag = next(e for e in said if e["event"] == "judged" and e["action"] != "pass")
    assert (flag["action"], flag["reason"], flag["category"]) == ("flag", "sound", "known_footage")
