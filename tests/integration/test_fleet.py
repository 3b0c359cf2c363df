"""Gates on one PostgreSQL: a block of one is refused and cut at the other, each shows the evidence of all."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from tests.conftest import require
from tests.integration.calls import TIMEOUT_S, admit, read_units, set_policy, write_footage
from tests.postgresql import Cluster

pytestmark = pytest.mark.integration

ANY_SCORE = {"raise_at": 0, "release_at": 0, "flag_at": 0, "cut_at": 0}
CONFIG = """
ledger_url = "{url}"
gate_name = "{name}"
[workers]
count = 1
[fleet]
address = "127.0.0.1:0"
secret = "of the gates of one test module alone"
"""
BUCKET = """
[evidence]
url = "s3://evidence/fleet"
endpoint = "{endpoint}"
credentials = "{keys}"
"""


class Edge:
    def __init__(self, gate: GateProcess) -> None:
        self.process = gate
        self.channel = grpc.insecure_channel(gate.grpc)
        self.gate: Any = gate_pb2_grpc.GateStub(self.channel)
        self.operator: Any = operator_pb2_grpc.OperatorStub(self.channel)
        token = parse_tokens(gate.tokens)[0].token.get_secret_value()
        self.admin = (("authorization", f"Bearer {token}"),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="module")
def url(postgresql: Cluster, folder: Path) -> str:
    return postgresql.new_store(folder).url


@pytest.fixture(scope="module")
def edges(url: str, folder: Path) -> Iterator[tuple[Edge, Edge]]:
    with (
        GateProcess(folder / "a", config=CONFIG.format(url=url, name="a")) as first,
        GateProcess(folder / "b", config=CONFIG.format(url=url, name="b")) as second,
    ):
        both = Edge(first), Edge(second)
        yield both
        for edge in both:
            edge.channel.close()
        assert (first.stop(), second.stop()) == (0, 0)


@pytest.fixture(scope="module")
def bucket_edges(url: str, folder: Path) -> Iterator[tuple[Edge, Edge]]:
    """Two more gates of the fleet, which share a bucket on a real S3 server."""
    require(all(map(find_spec, ("obstore", "moto"))), "obstore or moto")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
    httpx.put(f"{endpoint}/evidence", timeout=TIMEOUT_S).raise_for_status()
    keys = folder / "keys"
    keys.write_text("AKIAEXAMPLE secret\n")
    keys.chmod(0o600)
    both = [
        CONFIG.format(url=url, name=name) + BUCKET.format(endpoint=endpoint, keys=keys) for name in ("c", "d")
    ]
    with (
        GateProcess(folder / "c", config=both[0]) as first,
        GateProcess(folder / "d", config=both[1]) as second,
    ):
        yield Edge(first), Edge(second)
    server.stop()


def until_refused(stub: Any, broadcaster: str) -> gate_pb2.AdmitResponse:
    for _ in range(int(TIMEOUT_S / 0.02)):
        response = admit(stub, broadcaster)
        if not response.allowed:
            return response
        time.sleep(0.02)
    raise AssertionError("never refused")


def test_a_block_on_one_edge_is_enforced_on_the_other(edges: tuple[Edge, Edge], tmp_path: Path) -> None:
    here, there = edges
    write_footage(tmp_path / "moving.mp4", seconds=2)
    extradata, units = read_units(tmp_path / "moving.mp4")
    running = admit(there.gate, "anna")
    other = admit(there.gate, "berta")
    assert running.allowed
    assert other.allowed
    done: queue.Queue[None] = queue.Queue()

    def messages(stream_id: str) -> Iterator[gate_pb2.WatchRequest]:
        yield gate_pb2.WatchRequest(
            open=gate_pb2.WatchOpen(stream_id=stream_id, codec="h264", extradata=extradata)
        )
        for unit in itertools.islice(units, 30):
            yield gate_pb2.WatchRequest(access_unit=unit)
        done.get(timeout=TIMEOUT_S)

    answers = there.gate.Watch(messages(running.stream_id), timeout=TIMEOUT_S)
    next(answers)

    block = here.operator.AddBlock(
        operator_pb2.AddBlockRequest(subject="anna", duration_ms=3_600_000, reason="spam"),
        metadata=here.admin,
    )
    verdict = next(a.verdict for a in answers if a.verdict.action == gate_pb2.ACTION_CUT)
    assert verdict.reason == "blocked"
    assert verdict.blocked_until_wall_ms == block.until_wall_ms
    there.gate.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=running.stream_id), timeout=TIMEOUT_S)
    done.put(None)

    assert until_refused(there.gate, "anna").block_id == block.id
    assert admit(there.gate, "berta").allowed

    there.operator.LiftBlock(
        operator_pb2.LiftBlockRequest(block_id=block.id, reason="mistake"), metadata=there.admin
    )
    for _ in range(int(TIMEOUT_S / 0.02)):
        if admit(here.gate, "anna").allowed:
            break
        time.sleep(0.02)
    else:
        raise AssertionError("still refused")


def test_a_policy_set_on_one_edge_is_in_force_on_the_other(edges: tuple[Edge, Edge], tmp_path: Path) -> None:
    here, there = edges
    write_footage(tmp_path / "moving.mp4", seconds=2)
    extradata, units = read_units(tmp_path / "moving.mp4")
    running = admit(there.gate, "anna")
    done = threading.Event()

    def messages() -> Iterator[gate_pb2.WatchRequest]:
        yield gate_pb2.WatchRequest(
            open=gate_pb2.WatchOpen(stream_id=running.stream_id, codec="h264", extradata=extradata)
        )
        for turn in itertools.count():
            for unit in units:
                if done.wait(0.04):
                    return
                later = gate_pb2.AccessUnit()
                later.CopyFrom(unit)
                later.pts_ms += turn * 2000
                later.dts_ms += turn * 2000
                yield gate_pb2.WatchRequest(access_unit=later)

    answers = there.gate.Watch(messages(), timeout=3 * TIMEOUT_S)
    versions = (answer.verdict.policy_version for answer in answers if answer.HasField("verdict"))
    before = here.operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=here.admin)
    assert next(versions) == before.version
    request = operator_pb2.SetPolicyRequest(
        json=before.json, expected_version=before.version, reason="the same, as a new version"
    )
    after = here.operator.SetPolicy(request, metadata=here.admin)
    assert after.version == before.version + 1
    assert next(version for version in versions if version != before.version) == after.version
    done.set()
    # An editor of an outdated version is told so, through any gate.
    with pytest.raises(grpc.RpcError) as refused:
        there.operator.SetPolicy(request, metadata=there.admin)
    assert refused.value.code() is grpc.StatusCode.ABORTED


def cut(edge: Edge, broadcaster: str, media: tuple[bytes, list[gate_pb2.AccessUnit]]) -> str:
    """Has a stream cut for what it shows. Returns its incident."""
    extradata, units = media
    admitted = admit(edge.gate, broadcaster)
    done = threading.Event()

    def messages() -> Iterator[gate_pb2.WatchRequest]:
        opening = gate_pb2.WatchOpen(stream_id=admitted.stream_id, codec="h264", extradata=extradata)
        yield gate_pb2.WatchRequest(open=opening)
        for unit in units:
            if not done.wait(0.04):
                yield gate_pb2.WatchRequest(access_unit=unit)
        done.wait(TIMEOUT_S)

    answers = edge.gate.Watch(messages(), timeout=2 * TIMEOUT_S)
    verdict = next(answer.verdict for answer in answers if answer.verdict.action == gate_pb2.ACTION_CUT)
    edge.gate.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=admitted.stream_id), timeout=TIMEOUT_S)
    done.set()
    return str(verdict.incident_id)


def clip_at(edge: Edge, incident_id: str, begin: int = 0, length: int = 0) -> bytes:
    request = operator_pb2.GetEvidenceRequest(incident_id=incident_id, begin_bytes=begin, length_bytes=length)
    answer = edge.operator.GetEvidence(request, metadata=edge.admin, timeout=TIMEOUT_S)
    return b"".join(chunk.data for chunk in answer)


def clip_of_all(fleet: Sequence[Edge], incident_id: str) -> bytes:
    """What every gate shows. A longer clip takes the place of the first one when its stream has ended."""
    for _ in range(int(TIMEOUT_S)):
        clips = {clip_at(edge, incident_id) for edge in fleet}
        if len(clips) == 1:
            return clips.pop()
        time.sleep(0.5)
    raise AssertionError("the gates show different clips")


def test_watchers_at_four_gates_learn_of_each_incident_and_see_its_clip(
    edges: tuple[Edge, Edge], bucket_edges: tuple[Edge, Edge], tmp_path: Path
) -> None:
    fleet = (*edges, *bucket_edges)
    with grpc.insecure_channel(edges[0].process.grpc) as channel:
        set_policy(edges[0].process, channel, {"categories": {"fight": ANY_SCORE}, "budget_ms": 10_000})
    write_footage(tmp_path / "moving.mp4", seconds=20)
    media = read_units(tmp_path / "moving.mp4")
    watching = [
        edge.operator.WatchIncidents(operator_pb2.WatchIncidentsRequest(), metadata=edge.admin)
        for edge in fleet
    ]
    for watched in watching:
        assert next(watched).resync
    for owner, broadcaster in ((edges[0], "carla"), (bucket_edges[0], "dora")):
        incident_id = cut(owner, broadcaster, media)
        for edge, watched in zip(fleet, watching, strict=True):
            heard = next(
                change
                for change in watched
                if change.incident.id == incident_id and change.incident.evidence_path
            )
            again = edge.operator.WatchIncidents(
                operator_pb2.WatchIncidentsRequest(after_sequence=heard.sequence - 1, after_digest=""),
                metadata=edge.admin,
            )
            assert next(again).incident.id == incident_id, "goes on where another broke off"
            again.cancel()
        whole = clip_of_all(fleet, incident_id)
        assert whole[4:8] == b"ftyp"
        for edge in fleet:
            assert clip_at(edge, incident_id, 100, 50) == whole[100:150]
    for watched in watching:
        watched.cancel()


def test_a_gate_that_starts_while_postgresql_is_away_waits_for_it(
    postgresql: Cluster, tmp_path: Path
) -> None:
    config = CONFIG.format(url=postgresql.new_store(tmp_path).url, name="late")
    os.kill(postgresql.postmaster, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as others:
        waited = others.submit(_continue_when_waited_for, postgresql, tmp_path / "gate.log")
        with GateProcess(tmp_path, config=config) as gate, grpc.insecure_channel(gate.grpc) as channel:
            assert admit(gate_pb2_grpc.GateStub(channel), "anna").allowed
        assert waited.result()


def _continue_when_waited_for(cluster: Cluster, gate_log: Path) -> bool:
    """Returns whether the gate said that it waits."""
    end = time.monotonic() + TIMEOUT_S
    said = False
    try:
        while not said and time.monotonic() < end:
            time.sleep(0.05)
            said = gate_log.is_file() and "the gate waits for it" in gate_log.read_text()
    finally:
        os.kill(cluster.postmaster, signal.SIGCONT)
    return said
