"""Gunfire in the sound of a live stream: real processes, a contained worker, and a clip to be heard."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from benchmarks.servers.publisher import Publisher
from edge.api.auth import Role
from edge.cli.operator_client import operator
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.detect import default_model_directory, read_pack
from edge.detect.importing.joined_pack import join_pack
from edge.gate_process import GateProcess
from edge.stream import resampler
from tests.conftest import require
from tests.detect.sound.tiny_sound_model import tiny_sound_onnx, tiny_spec
from tests.e2e.ingest_process import PATIENCE_S, IngestProcess
from tests.evidence.sounds import bursts, heard_at, write_sounding
from tests.integration.calls import TIMEOUT_S, admit
from tests.integration.test_gate import serve_live

pytestmark = pytest.mark.integration
SECONDS = 20
SHOTS = [4 + n / 10 for n in range(12)]


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programme") / "programme.flv"
    return write_sounding(path, bursts(SECONDS, SHOTS))


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    require(resampler() is not None, "soxr")
    folder = tmp_path_factory.mktemp("gate")
    shipped, content = read_pack(default_model_directory()), tiny_sound_onnx()
    pack = join_pack(shipped, tiny_spec(content=content), content, folder / "pack")
    config = f'model_dir = "{pack.directory}"\n[workers]\ncount = 1\n'
    config += '[limits]\npull_from = ["http://127.0.0.1:*"]\n'
    with GateProcess(folder / "gate", config=config) as process:
        yield process


def test_gunfire_is_flagged_and_can_be_heard(gate: GateProcess, programme: Path) -> None:
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
    assert heard_at(Path(incident.evidence_path)), "a person can hear it"
    assert "cannot import" not in gate.log()


def test_pulls_bring_their_sound(gate: GateProcess, programme: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, grpc.insecure_channel(gate.grpc) as channel:
        stub = gate_pb2_grpc.GateStub(channel)
        serving = (listener, programme.read_bytes(), 3.0)
        threading.Thread(target=serve_live, args=serving, daemon=True).start()
        stream_id = admit(stub, "pulled").stream_id
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live.flv"
        request = gate_pb2.AttachRequest(stream_id=stream_id, url=url)
        for answer in stub.Attach(request, timeout=TIMEOUT_S):
            if answer.verdict.action == gate_pb2.ACTION_FLAG:
                flag = answer.verdict
                stub.Detach(gate_pb2.DetachRequest(stream_id=stream_id), timeout=TIMEOUT_S)
    assert flag.category == "gunfire"
    assert flag.signals[0].detail


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
