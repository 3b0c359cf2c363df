"""The whole product in real processes: gate, reference ingest and an ffmpeg that turns violent."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from benchmarks.servers.publisher import Publisher
from edge.api.auth import Role
from edge.cli.demo_footage import DemoFootage, demo_footage
from edge.cli.operator_client import GateConnection
from edge.contract.gen import operator_pb2
from edge.errors import NotFound
from edge.gate_process import GateProcess
from edge.ingest.test_footage import write_programme
from edge.match import Bank, BankInfo, VariantSet, fingerprint
from tests.conftest import require
from tests.e2e.ingest_process import PATIENCE_S, IngestProcess

pytestmark = pytest.mark.integration


@pytest.fixture(params=["detector", "match"])
def footage(request: pytest.FixtureRequest) -> DemoFootage:
    """Labelled fights that the detector must find, and known footage that the bank must find."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    if request.param == "detector":
        shared: Path = request.getfixturevalue("shared")
        return demo_footage(None, shared / "data")
    try:
        return demo_footage(None, None)
    except NotFound as error:
        require(False, str(error))
        raise


@pytest.fixture
def gate(footage: DemoFootage, tmp_path: Path) -> Iterator[GateProcess]:
    if footage.known is not None:
        bank = Bank.create(tmp_path / "gate" / "banks" / "known", BankInfo(label="known_footage"))
        bank.add_footage([fingerprint(footage.known, entry_id="known", variants=VariantSet.NONE)])
    with GateProcess(tmp_path / "gate", config="[workers]\ncount = 1\n") as process:
        yield process


@pytest.fixture
def publish() -> Iterator[Callable[[str, Path], Publisher]]:
    started: list[Publisher] = []

    def start(url: str, source: Path) -> Publisher:
        started.append(Publisher(url, source))
        return started[-1]

    yield start
    for publisher in started:
        publisher.stop()


def test_calm_then_violent_is_admitted_cut_and_kept_out(
    footage: DemoFootage,
    gate: GateProcess,
    publish: Callable[[str, Path], Publisher],
    tmp_path: Path,
) -> None:
    programme = tmp_path / "programme.flv"
    write_programme(footage.parts, programme)
    viewers = tmp_path / "{name}.flv"
    with IngestProcess(gate.grpc, "--relay", str(viewers), "--hold-back") as ingest:
        url = f"rtmp://{ingest.wait_for('ready')['rtmp']}/live/cam?user=u42&key=sek"
        for _ in range(3):  # An encoder comes again where a busy machine answers or judges too late.
            publisher = publish(url, programme)
            publisher.wait(PATIENCE_S)
            if ingest.wait_for("closed")["reason"] == "cut":
                break
            ingest.events.clear()

        cut = ingest.wait_for("judged", action="cut")
        admitted = ingest.wait_for("admitted", stream_id=cut["stream_id"])
        assert (admitted["broadcaster"], admitted["app"], admitted["name"]) == ("u42", "live", "cam")
        closed = ingest.wait_for("closed", reason="cut")
        confirmed = ingest.wait_for("cut_confirmed", stream_id=admitted["stream_id"])
        assert publisher.wait(PATIENCE_S) != 0, "ffmpeg ends with an error when it is cut"
        assert cut["pts_ms"] >= footage.violation_ms, "the calm part was cut"
        assert confirmed["time_to_cut_ms"] > 0

        again = publish(url, programme)
        refused = ingest.wait_for("refused", broadcaster="u42")
        assert again.wait(PATIENCE_S) != 0
        assert refused["reason"] == "blocked"
        assert refused["blocked_until_wall_ms"] > cut["wall_ms"]
        assert refused["message_en"]
        assert refused["message_ar"]
        # The key is refused together with its account. Another account with another key is not.
        other = publish(url.replace("u42", "u43").replace("sek", "kes"), programme)
        ingest.wait_for("admitted", broadcaster="u43")
        other.stop()

        incident = _incident(gate)
        assert incident.stream_id == admitted["stream_id"]
        assert incident.durable_wall_ms <= incident.cut_asked_wall_ms <= incident.cut_confirmed_wall_ms
        assert incident.durable_wall_ms <= closed["wall_ms"]
        assert incident.confirmed_by == "confirm_cut"
        assert ingest.stop() == 0

    evidence = _pictures(Path(incident.evidence_path))
    assert len(evidence) > 25, "more than the last second before the cut"
    shown = _pictures(tmp_path / "cam.flv")
    assert shown, "viewers saw the calm part"
    assert max(shown) < cut["pts_ms"], "viewers saw nothing from the sample on that was cut"
    assert "sek" not in gate.log()


def _incident(gate: GateProcess) -> operator_pb2.Incident:
    """Waits until the incident of the cut has its clip."""
    deadline = time.monotonic() + PATIENCE_S
    with GateConnection(gate.grpc, gate.tokens).operator(Role.VIEWER) as (stub, metadata):
        while True:
            request = operator_pb2.ListIncidentsRequest(broadcaster="u42")
            for incident in stub.ListIncidents(request, metadata=metadata, timeout=10).incidents:
                if incident.durable_wall_ms and incident.evidence_path:
                    return incident
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _pictures(path: Path) -> list[int]:
    """Presentation times of all frames that decode, in milliseconds."""
    with av.open(str(path)) as container:
        return [round((frame.time or 0) * 1000) for frame in container.decode(video=0)]
