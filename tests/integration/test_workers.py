"""Workers that hang or crash are replaced. A stream that keeps killing them is quarantined."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import (
    TIMEOUT_S,
    admit,
    read_units,
    repeated,
    requests,
    set_policy,
    until,
    workers_of,
    write_footage,
)
from tests.running_gate import metrics

CONFIG = "[workers]\ncount = 1\nheartbeat_ms = 200\nhang_ms = 1500\n"


def one_worker(gate: GateProcess, other_than: int = 0) -> int:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for pid in workers_of(gate.pid):
            if pid != other_than:
                return pid
        time.sleep(0.05)
    raise AssertionError("no worker came back")


def test_a_gate_without_a_worker_is_alive_and_not_ready(tmp_path: Path) -> None:
    config = "[workers]\ncount = 1\nspare = 0\n"
    with (
        GateProcess(tmp_path / "gate", config=config) as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING

        def seen() -> tuple[int, int, bool]:
            answer = health.Check(health_pb2.HealthCheckRequest(service="edge.gate.v1.Gate"))
            paths = ("healthz", "readyz")
            alive, ready = (httpx.get(f"http://{gate.http}/{path}", timeout=TIMEOUT_S) for path in paths)
            return alive.status_code, ready.status_code, answer.status == serving

        until(seen, lambda now: now == (200, 200, True))
        os.kill(one_worker(gate), signal.SIGKILL)
        until(seen, lambda now: now == (200, 503, False))
        until(seen, lambda now: now == (200, 200, True))


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    write_footage(tmp_path / "moving.mp4", seconds=6)
    extradata, units = read_units(tmp_path / "moving.mp4")
    with (
        GateProcess(tmp_path / "gate", config=CONFIG) as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        stub: Any = gate_pb2_grpc.GateStub(channel)
        stream_id = admit(stub).stream_id
        call = stub.Watch(requests(stream_id, extradata, repeated(units, 2), pace=0.03), timeout=TIMEOUT_S)
        next(call)
        pid = one_worker(gate)
        os.kill(pid, signal.SIGSTOP)
        answers = list(call)
        lost = next(i for i, answer in enumerate(answers) if answer.degraded.reason == "worker_lost")
        assert any(answer.WhichOneof("response") == "verdict" for answer in answers[lost:])
        assert one_worker(gate) != pid
        assert not Path(f"/proc/{pid}").exists()


def test_a_gate_that_stood_still_itself_keeps_its_workers(tmp_path: Path) -> None:
    """A paused machine, or a supervisor without CPU time: the workers answered, but nobody read it."""
    config = CONFIG.replace("hang_ms = 1500", "hang_ms = 500")
    environment = {"EDGE_WORKERS__SPARE": "1", "EDGE_WORKERS__JOB_MS": "500"}
    with GateProcess(tmp_path / "gate", config=config, environment=environment) as gate:
        until(gate.log, lambda text: '"standby"' in text)
        workers = workers_of(gate.pid)
        assert len(workers) == 2
        for _ in range(3):
            os.kill(gate.pid, signal.SIGSTOP)
            time.sleep(0.7)
            os.kill(gate.pid, signal.SIGCONT)
            time.sleep(0.5)
        assert workers_of(gate.pid) == workers
        assert "hangs" not in gate.log()


def test_a_stream_that_kills_workers_is_quarantined_and_the_others_go_on(tmp_path: Path) -> None:
    """A real SIGSEGV whenever the worker works on its only stream."""
    write_footage(tmp_path / "large.mp4", seconds=3, width=1920, height=1080)
    extradata, units = read_units(tmp_path / "large.mp4")
    with (
        GateProcess(tmp_path / "gate", config=CONFIG) as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        stub: Any = gate_pb2_grpc.GateStub(channel)
        operator: Any = operator_pb2_grpc.OperatorStub(channel)
        stream_id = admit(stub, "anna").stream_id
        call = stub.Watch(
            requests(stream_id, extradata, repeated(units, 20), pace=0.005), timeout=2 * TIMEOUT_S
        )
        ended: list[grpc.RpcError] = []
        pid = 0
        try:
            for answer in call:
                if answer.WhichOneof("response") == "verdict":
                    newest = one_worker(gate)
                    if newest != pid:
                        pid = newest
                        os.kill(pid, signal.SIGSEGV)
        except grpc.RpcError as error:
            ended.append(error)
        assert ended, "the stream was never quarantined"
        assert ended[0].code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "quarantined" in str(ended[0].details())
        token = parse_tokens(gate.tokens)[0].token.get_secret_value()
        listed = operator.ListIncidents(
            operator_pb2.ListIncidentsRequest(broadcaster="anna"),
            metadata=(("authorization", f"Bearer {token}"),),
        ).incidents
        assert "quarantined" in {incident.verdict.reason for incident in listed}
        one_worker(gate, other_than=pid)
        write_footage(tmp_path / "small.mp4", seconds=3)
        extradata, units = read_units(tmp_path / "small.mp4")
        answers = list(
            stub.Watch(
                requests(admit(stub, "berta").stream_id, extradata, units, pace=0.02), timeout=TIMEOUT_S
            )
        )
        assert any(answer.WhichOneof("response") == "verdict" for answer in answers)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_no_worker_outlives_a_killed_gate(number: signal.Signals, tmp_path: Path) -> None:
    with GateProcess(tmp_path / "gate", config=CONFIG) as gate:
        pid = one_worker(gate)
        os.kill(gate.pid, number)
        deadline = time.monotonic() + TIMEOUT_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGSTOP])
def test_the_spare_worker_takes_the_place_of_one_that_dies(number: signal.Signals, tmp_path: Path) -> None:
    """The standby was there with its model loaded, and another one follows it."""
    write_footage(tmp_path / "moving.mp4", seconds=6)
    extradata, units = read_units(tmp_path / "moving.mp4")
    with (
        GateProcess(tmp_path / "gate", config=CONFIG, environment={"EDGE_WORKERS__SPARE": "1"}) as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        worker, spare = until(lambda: workers_of(gate.pid), lambda pids: len(pids) == 2)
        until(gate.log, lambda text: '"standby"' in text)
        stub: Any = gate_pb2_grpc.GateStub(channel)
        stream_id = admit(stub).stream_id
        call = stub.Watch(requests(stream_id, extradata, repeated(units, 2), pace=0.03), timeout=TIMEOUT_S)
        for answer in call:
            if answer.WhichOneof("response") == "verdict":
                break
        os.kill(worker, number)
        answers = list(call)
        lost = next(i for i, answer in enumerate(answers) if answer.degraded.reason == "worker_lost")
        assert any(answer.WhichOneof("response") == "verdict" for answer in answers[lost:])
        after = until(lambda: set(workers_of(gate.pid)), lambda pids: len(pids) == 2 and worker not in pids)
        assert spare in after
        assert gate.log().count("worker died") == 1


def test_a_stream_over_its_share_moves_to_a_worker_that_others_go_before(tmp_path: Path) -> None:
    """A share of a hundredth of a core, which every stream exceeds. Its verdicts go on.

    It runs until it has been moved: a busy machine takes its time to start a worker.
    """
    write_footage(tmp_path / "moving.mp4", seconds=6)
    extradata, units = read_units(tmp_path / "moving.mp4")
    with (
        GateProcess(tmp_path / "gate", config=CONFIG) as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        set_policy(gate, channel, {"decoding": {"share": 0.01, "window_ms": 500, "action": "pass"}})
        stub: Any = gate_pb2_grpc.GateStub(channel)
        stream_id = admit(stub).stream_id
        ordinary = one_worker(gate)
        moved, judged = False, 0
        media = repeated(units, int(TIMEOUT_S / 6) + 1)
        call = stub.Watch(requests(stream_id, extradata, media, pace=0.04), timeout=TIMEOUT_S)
        for answer in call:
            moved = moved or 'edge_streams_moved_total{worker="heavy"} 1.0' in metrics(gate)
            judged += moved and answer.HasField("verdict")
            if judged >= 2:
                break
        call.cancel()
        assert judged >= 2, (metrics(gate), gate.log()[-3000:])
        priorities = {
            pid: {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}
            for pid in workers_of(gate.pid)
        }
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert priorities.pop(ordinary) == {ours}
        assert {min(ours + 10, 19)} in priorities.values()  # the least that Linux knows is 19
