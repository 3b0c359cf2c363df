"""Gunfire in the audio of a live stream: real processes, a contained worker, and a clip to be heard."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import grpc
import pytest

from benchmarks.servers import node_media_server
from benchmarks.servers.nginx_rtmp import NginxRtmp, available
from benchmarks.servers.node_media_server import NodeMediaServer
from benchmarks.servers.publisher import Publisher
from edge.api.auth import Role
from edge.cli.operator_client import GateConnection
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.gate_process import ENFORCING, GateProcess
from edge.stream import resampler
from tests.conftest import require
from tests.detect.tiny_pack import tiny_pack
from tests.e2e.ingest_process import PATIENCE_S, IngestProcess
from tests.evidence.sounds import bursts, heard_at, write_sounding
from tests.integration.calls import TIMEOUT_S, admit
from tests.integration.test_gate import serve_live
from tests.running_gate import evidenced

pytestmark = pytest.mark.integration
SECONDS = 20
SHOTS = [4 + n / 10 for n in range(12)]


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programme") / "programme.flv"
    return write_sounding(path, bursts(SECONDS, SHOTS))


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same audio under bright video, which is a firearm to the tiny model."""
    path = tmp_path_factory.mktemp("programme") / "armed.flv"
    return write_sounding(path, bursts(SECONDS, SHOTS), brightness=240)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxRtmp]:
    require(available(), "nginx with libnginx-mod-rtmp, or ffmpeg,")
    with NginxRtmp(tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeMediaServer]:
    require(node_media_server.available(), "node with npm, or ffmpeg,")
    with NodeMediaServer(tmp_path_factory.mktemp("node")) as server:
        yield server


@pytest.fixture(scope="module")
def gate(
    tmp_path_factory: pytest.TempPathFactory, nginx: NginxRtmp, node: NodeMediaServer
) -> Iterator[GateProcess]:
    require(resampler() is not None, "soxr")
    folder = tmp_path_factory.mktemp("gate")
    config = f'model_dir = "{tiny_pack(folder / "pack", sight=True)}"\n[workers]\ncount = 1\n'
    config += '[limits]\npull_from = ["http://127.0.0.1:*"]\n[nginx_rtmp]\ntrust_broadcaster = true\n'
    config += f'control_url = "{nginx.control_url}"\nstat_url = "{nginx.stat_url}"\n'
    config += f'pull_url = "{nginx.pull_url}"\n[node_media_server]\ntrust_broadcaster = true\n'
    config += f'api_url = "{node.api_url}"\njwt_secret = "{node.jwt_secret}"\n'
    config += f'pull_url = "{node.pull_url}"\n'
    policy = {**ENFORCING, "apps": {"radio": {"failure": {"on_no_video": "allow"}}}}
    with GateProcess(folder / "gate", config=config, policy=policy) as process:
        nginx.start(process.http)
        node.start(process.http)
        yield process


@pytest.mark.parametrize("kind", ["nginx-rtmp", "node-media-server"])
def test_gunfire_at_a_server_is_flagged_and_can_be_heard(
    kind: str, gate: GateProcess, nginx: NginxRtmp, node: NodeMediaServer, programme: Path
) -> None:
    server = nginx if kind == "nginx-rtmp" else node
    with Publisher(server.url("cam", f"user={kind}"), programme, sound=True):
        incident = clip_of(gate, kind)
    assert incident.server == kind
    assert (incident.verdict.action, incident.verdict.category) == (gate_pb2.ACTION_FLAG, "gunfire")
    assert incident.verdict.urgent
    assert heard_at(Path(incident.evidence_path)), "a person can hear it"


def test_gunfire_and_a_firearm_together_are_cut_by_the_rule(
    gate: GateProcess, nginx: NginxRtmp, armed: Path
) -> None:
    with Publisher(nginx.url("armed", "user=u7"), armed, sound=True) as publisher:
        assert publisher.wait(PATIENCE_S) != 0, "ffmpeg ends with an error when it is cut"
    incident = evidenced(gate, "u7")
    verdict = incident.verdict
    assert (verdict.reason, verdict.rule) == ("rule", "gunfire-and-firearm")
    assert {signal.category for signal in verdict.signals} >= {"gunfire", "firearm"}
    assert verdict.urgent
    assert incident.stretch.end_ms > 0
    assert heard_at(Path(incident.evidence_path))


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


def test_pulls_bring_their_audio(gate: GateProcess, programme: Path) -> None:
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


def test_a_pull_without_a_frame_is_heard_where_policy_lets_it_go_on(
    gate: GateProcess, tmp_path: Path
) -> None:
    late = [18 + n / 10 for n in range(12)]
    programme = write_sounding(tmp_path / "programme.flv", bursts(24, late))
    radio = audio_alone(programme, tmp_path / "radio.flv")
    with socket.create_server(("127.0.0.1", 0)) as listener, grpc.insecure_channel(gate.grpc) as channel:
        stub = gate_pb2_grpc.GateStub(channel)
        serving = (listener, radio.read_bytes(), 14.0)
        threading.Thread(target=serve_live, args=serving, daemon=True).start()
        stream_id = admit(stub, "radio", app="radio").stream_id
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live.flv"
        request = gate_pb2.AttachRequest(stream_id=stream_id, url=url)
        for answer in stub.Attach(request, timeout=TIMEOUT_S):
            if answer.verdict.action == gate_pb2.ACTION_FLAG:
                flag = answer.verdict
                incident = clip_of(gate, "radio")
                stub.Detach(gate_pb2.DetachRequest(stream_id=stream_id), timeout=TIMEOUT_S)
    assert flag.category == "gunfire"
    assert flag.pts_ms == pytest.approx(1000 * late[0], abs=4_000)
    assert heard_at(Path(incident.evidence_path)), "a person can hear it"


def audio_alone(programme: Path, path: Path) -> Path:
    with av.open(str(programme)) as media, av.open(str(path), "w") as out:
        sound = out.add_stream_from_template(media.streams.audio[0])
        for packet in media.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                out.mux(packet)
    return path


def clip_of(gate: GateProcess, broadcaster: str) -> operator_pb2.Incident:
    """Waits until the incident has its clip."""
    deadline = time.monotonic() + PATIENCE_S
    with GateConnection(gate.grpc, gate.tokens).operator(Role.VIEWER) as (stub, metadata):
        while True:
            request = operator_pb2.ListIncidentsRequest(broadcaster=broadcaster)
            for incident in stub.ListIncidents(request, metadata=metadata, timeout=10).incidents:
                if incident.evidence_path:
                    return incident
            assert time.monotonic() < deadline, gate.log()[-3000:]
            time.sleep(0.1)
