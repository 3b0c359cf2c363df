"""Requests of tests to a running gate: its metrics, its incidents, a block."""

from __future__ import annotations

import time
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from edge.api.auth import Role
from edge.cli.operator_client import GateConnection
from edge.contract.gen import operator_pb2
from edge.gate_process import GateProcess

PATIENCE_S = 90.0


def metrics(gate: GateProcess) -> str:
    with urlopen(f"http://{gate.http}/metrics", timeout=10) as response:
        text: str = response.read().decode()
    return text


def metric(gate: GateProcess, name: str) -> float:
    """The sum of the metric's samples. 0 where there are none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics(gate))
        for sample in family.samples
        if sample.name == name
    )


def until_metric(gate: GateProcess, line: str) -> None:
    """Waits for a line of the metrics."""
    deadline = time.monotonic() + PATIENCE_S
    while line not in metrics(gate):
        assert time.monotonic() < deadline, (metrics(gate), gate.log()[-3000:])
        time.sleep(0.05)


def block(gate: GateProcess, subject: str, kind: str = "broadcaster") -> None:
    """Adds a manual block for an hour."""
    with GateConnection(gate.grpc, gate.tokens).operator(Role.REVIEWER) as (stub, metadata):
        request = operator_pb2.AddBlockRequest(
            subject_kind=kind, subject=subject, duration_ms=3_600_000, reason="test"
        )
        stub.AddBlock(request, metadata=metadata, timeout=10)


def evidenced(gate: GateProcess, broadcaster: str) -> operator_pb2.Incident:
    """Waits until the incident's cut is proven and its clip is written."""
    deadline = time.monotonic() + PATIENCE_S
    with GateConnection(gate.grpc, gate.tokens).operator(Role.VIEWER) as (stub, metadata):
        while True:
            request = operator_pb2.ListIncidentsRequest(broadcaster=broadcaster)
            found = stub.ListIncidents(request, metadata=metadata, timeout=10).incidents
            for incident in found:
                if incident.evidence_path and incident.cut_confirmed_wall_ms:
                    return incident
            assert time.monotonic() < deadline, (found, gate.log()[-3000:])
            time.sleep(0.1)
