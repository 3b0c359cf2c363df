"""A disk of 40 MB that is full: no decision is lost without a word, and health says it."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from edge.contract.gen import gate_pb2
from tests.integration.calls import TIMEOUT_S, admit, until
from tests.integration.test_violation import CONFIG, Footage, RunningGate, footage, running
from tests.running_gate import metrics
from tests.small_disk import fill, small_disk

__all__ = ["footage"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

BROADCASTERS = ("anna", "berta", "carla")


def health(gate: RunningGate) -> list[str]:
    with urlopen(f"http://{gate.process.http}/healthz", timeout=TIMEOUT_S) as response:
        lines: list[str] = response.read().decode().splitlines()
    return lines


def data_folder(disk: Path, tmp_path: Path) -> Path:
    """On the small disk, but for the log, which has to be read."""
    folder = disk / "data"
    folder.mkdir()
    (tmp_path / "gate.log").touch()
    (folder / "gate.log").symlink_to(tmp_path / "gate.log")
    return folder


def cut_all(gate: RunningGate, footage: Footage) -> None:
    for broadcaster in BROADCASTERS:
        stream_id = admit(gate.stub, broadcaster).stream_id
        gate.watch_until_cut(stream_id, footage)
        gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
        assert admit(gate.stub, broadcaster).reason == gate_pb2.REASON_CODE_BLOCKED


def test_the_journal_has_room_of_its_own_and_the_gate_starts_again(tmp_path: Path, footage: Footage) -> None:
    with small_disk(tmp_path, "ext4", 40) as disk:
        folder = data_folder(disk, tmp_path)
        with running(folder) as gate:
            gate.cut_on_anything()
            assert health(gate)[0] == "ok"
            assert not [line for line in health(gate) if "journal" in line]
            fill(disk)
            cut_all(gate, footage)
            assert (folder / "journal.jsonl").stat().st_size > 0
            until(lambda: health(gate), lambda lines: "alarm: journal reserve" in lines)
            scraped = metrics(gate.process)
            assert 'edge_alarms{part="journal",reason="reserve"} 1.0' in scraped
            assert "edge_decisions_in_memory 0.0" in scraped
            assert gate.process.stop() == 0
        fill(disk)
        with running(folder) as gate:  # no byte is free, but what the reserve gives
            for broadcaster in BROADCASTERS:
                assert admit(gate.stub, broadcaster).reason == gate_pb2.REASON_CODE_BLOCKED
            assert admit(gate.stub, "dora").allowed
            assert not [line for line in health(gate) if "never_written" in line]


def test_what_no_disk_takes_is_told_by_health_exit_code_log_and_the_next_start(
    tmp_path: Path, footage: Footage
) -> None:
    with small_disk(tmp_path, "ext4", 40) as disk:
        folder = data_folder(disk, tmp_path)
        config = f"{CONFIG}journal_reserve_mb = 0\n"
        with running(folder, config) as gate:
            gate.cut_on_anything()
            ballast = fill(disk)
            cut_all(gate, footage)
            until(lambda: health(gate), lambda lines: "alarm: journal in_memory" in lines)
            assert "edge_decisions_in_memory 0.0" not in metrics(gate.process)
            assert gate.process.stop() == 3
        said = (tmp_path / "gate.log").read_text()
        lost = [line for line in said.splitlines() if "a decision was in memory alone, and is lost" in line]
        violations = [line for line in lost if '"what": "violation"' in line]
        assert violations
        assert [line for line in lost if '"what": "mark"' in line]
        ballast.unlink()
        with running(folder, config) as gate:
            assert "alarm: journal never_written" in health(gate)
            again = [line for line in gate.process.log().splitlines() if 'make it again"' in line]
            assert len([line for line in again if '"what": "violation"' in line]) == len(violations)
            (folder / "journal.unwritten").unlink()
            until(lambda: health(gate), lambda lines: "alarm: journal never_written" not in lines)
            assert gate.process.stop() == 0
