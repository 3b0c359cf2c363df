"""Two gates on one PostgreSQL: a block of one gate is refused, and cut, at the other."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import TIMEOUT_S, admit, read_units, write_footage
from tests.postgresql import Cluster

pytestmark = pytest.mark.integration

CONFIG = """
ledger_url = "{url}"
[workers]
count = 1
"""


class Edge:
    def __init__(self, gate: GateProcess) -> None:
        self.channel = grpc.insecure_channel(gate.grpc)
        self.gate: Any = gate_pb2_grpc.GateStub(self.channel)
        self.operator: Any = operator_pb2_grpc.OperatorStub(self.channel)
        token = parse_tokens(gate.tokens)[0].token.get_secret_value()
        self.admin = (("authorization", f"Bearer {token}"),)


@pytest.fixture(scope="module")
def edges(postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, Edge]]:
    folder = tmp_path_factory.mktemp("fleet")
    config = CONFIG.format(url=postgresql.new_store(folder).url)
    with (
        GateProcess(folder / "a", config=config) as first,
        GateProcess(folder / "b", config=config) as second,
    ):
        both = Edge(first), Edge(second)
        yield both
        for edge in both:
            edge.channel.close()
        assert (first.stop(), second.stop()) == (0, 0)


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


def test_a_gate_that_starts_while_postgresql_is_away_waits_for_it(
    postgresql: Cluster, tmp_path: Path
) -> None:
    config = CONFIG.format(url=postgresql.new_store(tmp_path).url)
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
