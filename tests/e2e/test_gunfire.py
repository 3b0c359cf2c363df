"""Gunfire in the sound of a live publish: real processes, a contained worker, and a clip that lets one hear
it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.servers.publisher import Publisher
from edge.api.auth import Role
from edge.cli.operator_client import operator
from edge.contract.gen import operator_pb2
from edge.detect import default_model_directory, read_pack
from edge.detect.importing.joined_pack import join_pack
from edge.gate_process import GateProcess
from edge.stream import resampler
from tests.conftest import require
from tests.detect.sound.tiny_sound_model import tiny_sound_onnx, tiny_spec
from tests.e2e.test_reference_ingest import PATIENCE_S, IngestProcess
from tests.evidence.sounds import bursts, heard_at, write_sounding

pytestmark = pytest.mark.integration
SECONDS = 20
SHOTS = [4 + n / 10 for n in range(12)]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[GateProcess]:
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    require(resampler() is not None, "soxr")
    shipped, content = read_pack(default_model_directory()), tiny_sound_onnx()
    pack = join_pack(shipped, tiny_spec(content=content), content, tmp_path / "pack")
    config = f'model_dir = "{pack.directory}"\n[workers]\ncount = 1\n'
    with GateProcess(tmp_path / "gate", config=config) as process:
        yield process


def test_gunfire_is_flagged_and_can_be_heard(gate: GateProcess, tmp_path: Path) -> None:
    programme = write_sounding(tmp_path / "programme.flv", bursts(SECONDS, SHOTS))
    with IngestProcess(gate.grpc) as ingest:
        url = f"rtmp://{ingest.wait_for('ready')['rtmp']}/live/cam?user=u42&key=sek"
        with Publisher(url, programme, sound=True):
            flag = ingest.wait_for("judged", action="flag")
            incident = clip_of(gate, "u42")
        assert ingest.stop() == 0
    assert (incident.verdict.category, incident.verdict.reason) == ("gunfire", "detector")
    begin_ms = incident.verdict.begin_pts_ms
    assert begin_ms < 1000 * SHOTS[0] + 500
    assert 1000 * SHOTS[0] < flag["pts_ms"] < 1000 * SHOTS[0] + 4_000
    heard = heard_at(Path(incident.evidence_path))
    assert heard, "a person can hear it"
    assert "cannot import" not in gate.log()


def clip_of(gate: GateProcess, broadcaster: str) -> operator_pb2.Incident:
    """Waits until the incident has its clip."""
    deadline = time.monotonic() + PATIENCE_S
    with operator(gate.grpc, gate.tokens, None, Role.VIEWER) as (stub, metadata):
        while True:
            request = operator_pb2.ListIncidentsRequest(broadcaster=broadcaster)
            for incident in stub.ListIncidents(request, metadata=metadata, timeout=10).incidents:
                if incident.evidence_path:
                    return incident
            assert time.monotonic() < deadline, gate.log()[-3000:]
            time.sleep(0.1)
