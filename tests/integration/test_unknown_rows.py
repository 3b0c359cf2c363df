"""A gate starts on, and works with, a ledger in which every table holds a row that it does not know."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import grpc
import httpx
import pytest

from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.domain import Action, Incident, Publish, Verdict, new_id, new_stream_id
from edge.gate_process import GateProcess
from edge.ladder import Sanction
from edge.ledger import DurableLedger
from edge.policy import Policy
from edge.reasons import VerdictReason
from tests.integration.calls import TIMEOUT_S, admit

pytestmark = pytest.mark.integration

CHANGES = (
    "UPDATE incidents SET attributes = 'null'",
    "UPDATE strikes SET severity = 'grave', review_by_ms = 1",
    "UPDATE blocks SET subject_kind = 'device', review_by_ms = 1, provisional = 1 WHERE subject = 'anna'",
    "UPDATE blocks SET review_by_ms = 'soon', until_ms = 'later' WHERE subject <> 'anna'",
    "UPDATE appeals SET state = 'of-a-newer-gate'",
    "INSERT INTO policies VALUES (2, '{\"a_newer_gates\": 1}', 1, 'root', '')",
)


def fill(folder: Path) -> None:
    folder.mkdir()
    now = time.time_ns() // 1_000_000
    ledger = DurableLedger.open(folder / "edge.db", folder / "journal.jsonl")
    policy = ledger.policy_put(Policy(), "root", "first", now, None)
    publish = Publish("test", "c1", "live", "stream", "anna", "192.0.2.7", {"stream_key": "k-1"})
    verdict = Verdict(Action.CUT, 0, 0, "fight", VerdictReason.DETECTOR, 0.9)
    incident = Incident(new_id("in"), new_stream_id(), publish, verdict, now)
    ledger.record_violation(incident, Sanction(), now)
    ledger.file_appeal("no", "platform", now, policy, incident_id=incident.id)
    ledger.close()
    with closing(sqlite3.connect(folder / "edge.db", isolation_level=None)) as other:
        for change in CHANGES:
            other.execute(change)


def test_a_gate_starts_and_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    with (
        GateProcess(tmp_path / "data", config="[workers]\ncount = 1\n") as gate,
        grpc.insecure_channel(gate.grpc) as channel,
    ):
        assert gate.ready["policy_version"] == 1
        stub = gate_pb2_grpc.GateStub(channel)
        assert admit(stub, "berta").allowed
        refused = admit(stub, "anna")
        assert refused.reason == gate_pb2.REASON_CODE_BLOCKED
        found: set[str] = set()
        end = time.monotonic() + TIMEOUT_S
        while not {"blocks", "incidents", "policies"} <= found and time.monotonic() < end:
            lines = httpx.get(f"http://{gate.http}/metrics").text.splitlines()
            found = {line.split('"')[1] for line in lines if line.startswith("edge_ledger_rows_unknown{")}
            time.sleep(0.1)
        assert {"blocks", "incidents", "policies"} <= found
        assert gate.stop() == 0
    said = (tmp_path / "data" / "gate.log").read_text()
    assert "does not know" in said
    assert "Traceback" not in said
