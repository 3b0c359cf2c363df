"""Metrics of a running gate, and a policy that differs by app, over real gRPC and HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.gate_process import GateProcess
from tests.integration.calls import admit, read_units, requests, until, watch, write_footage
from tests.running_gate import metrics

STRICT = {
    "budget_ms": 10_000,  # However busy the machine is that runs the tests.
    "apps": {"strict*": {"categories": {"fight": {"release_at": 0, "raise_at": 0, "flag_at": 0}}}},
}
Samples = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def gate(directory: Path) -> Iterator[GateProcess]:
    with GateProcess(directory, config="[workers]\ncount = 1\n") as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def answers(gate: GateProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Runs a stream in each of two apps. One of them is flagged whatever its score."""
    path = tmp_path_factory.mktemp("footage") / "moving.mp4"
    write_footage(path, seconds=3)
    extradata, units = read_units(path)
    token = parse_tokens(gate.tokens)[0].token.get_secret_value()
    admin = (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(gate.grpc) as channel:
        operator = operator_pb2_grpc.OperatorStub(channel)
        policy = json.loads(operator.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=admin).json)
        request = operator_pb2.SetPolicyRequest(json=json.dumps({**policy, **STRICT}), reason="test")
        operator.SetPolicy(request, metadata=admin)
        stub = gate_pb2_grpc.GateStub(channel)
        return {
            app: watch(stub, requests(admit(stub, app, app=app).stream_id, extradata, units, pace=0.02))
            for app in ("live", "strict-1")
        }


def scraped(gate: GateProcess) -> Samples:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics(gate))
        for sample in family.samples
    }


def actions(answers: list[Any]) -> set[int]:
    return {answer.verdict.action for answer in answers if answer.HasField("verdict")}


def test_a_policy_differs_by_application(answers: dict[str, list[Any]]) -> None:
    assert actions(answers["live"]) == {gate_pb2.ACTION_PASS}
    assert gate_pb2.ACTION_FLAG in actions(answers["strict-1"])


def test_every_stage_is_counted_once_a_sample(gate: GateProcess, answers: dict[str, list[Any]]) -> None:
    def counts() -> list[float]:
        seen = scraped(gate)
        stages = [seen[("edge_stage_ms_count", stage)] for stage in ("detect", "hash", "decide")]
        return [*stages, seen[("edge_verdict_latency_ms_count", "")]]

    found = until(counts, lambda counts: len(set(counts)) == 1 and counts[0] > 0)
    seen = scraped(gate)
    verdicts = sum(value for (name, _), value in seen.items() if name == "edge_verdicts_total")
    assert set(found) == {verdicts}
    assert seen[("edge_stage_ms_count", "decode")] >= 50
    assert seen[("edge_stage_ms_count", "convert")] >= found[0]
    assert seen[("edge_queue_age_ms_count", "")] >= seen[("edge_stage_ms_count", "decode")] / 2
    # Two streams: each of their samples except the first ends an interval without one.
    assert seen[("edge_blind_ms_count", "")] == verdicts - 2
    for stage in ("decode", "detect"):
        assert seen[("edge_stage_ms_sum", stage)] > 0


def test_load_and_tiers_are_shown(gate: GateProcess, answers: dict[str, list[Any]]) -> None:
    tiers = [("edge_streams_by_tier", tier) for tier in ("calm", "alert", "starting")]
    idle = [*tiers, ("edge_worker_jobs", "0"), ("edge_worker_streams", "0")]
    seen = until(lambda: scraped(gate), lambda seen: all(seen.get(key) == 0 for key in idle))
    for name in ("edge_worker_busy", "edge_worker_voluntary"):
        assert 0 <= seen[(name, "0")] <= 1
    assert ("edge_dense_gave_way", "") in seen


def test_an_incident_has_the_way_of_its_sample(directory: Path, answers: dict[str, list[Any]]) -> None:
    incident = next(a.verdict.incident_id for a in answers["strict-1"] if a.verdict.incident_id)
    record = until(lambda: next(directory.rglob(f"{incident}.json"), None), bool)
    assert record is not None
    written = json.loads(record.read_text())
    trace = written["verdict"]["trace"]
    stages = [
        trace[name]
        for name in ("decoded_ms", "converted_ms", "taken_ms", "detected_ms", "hashed_ms", "decided_ms")
    ]
    assert stages == sorted(stages)
    assert stages[0] >= 0
    assert stages[-1] == pytest.approx(written["verdict"]["latency_ms"], abs=0.01)
    assert abs(trace["arrival_wall_ms"] + stages[-1] - written["created_wall_ms"]) < 60_000
