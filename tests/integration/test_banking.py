"""What a reviewer's word makes known footage, and whom that cuts: nobody for another's lead-in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge.contract.gen import gate_pb2, operator_pb2
from tests.integration.calls import TIMEOUT_S, admit, read_units, requests, until, write_footage
from tests.integration.test_violation import ANY_SCORE, Footage, RunningGate, running
from tests.running_gate import metric

ANYTHING_FLAGS = {"fight": {**ANY_SCORE, "cut_at": 1}}
NOTHING_FLAGS = {"fight": {"raise_at": 1, "flag_at": 1, "cut_at": 1, "release_at": 1}}
CALM_MS = 4000


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    path = tmp_path_factory.mktemp("footage") / "moving.mp4"
    write_footage(path, seconds=10)
    return read_units(path)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    with running(tmp_path_factory.mktemp("gate")) as started:
        started.set_policy(categories=NOTHING_FLAGS, budget_ms=5000)
        yield started


def part(footage: Footage, begin_ms: int, end_ms: int) -> Footage:
    extradata, units = footage
    return extradata, [unit for unit in units if begin_ms <= unit.pts_ms < end_ms]


def shown(gate: RunningGate, broadcaster: str, footage: Footage) -> list[gate_pb2.Verdict]:
    """What the gate says of a stream that is not calm, until it ends or is cut."""
    said = []
    stream_id = admit(gate.stub, broadcaster).stream_id
    for answer in gate.watch(stream_id, footage):
        if answer.verdict.action in (gate_pb2.ACTION_FLAG, gate_pb2.ACTION_CUT):
            said.append(answer.verdict)
        if answer.verdict.action == gate_pb2.ACTION_CUT:
            gate.stub.ConfirmCut(gate_pb2.ConfirmCutRequest(stream_id=stream_id))
            break
    return said


def until_looked_at(gate: RunningGate, broadcaster: str, footage: Footage) -> None:
    """Shows footage again and again: a busy machine does not look at each short stream."""
    before = metric(gate.process, "edge_samples_judged")
    for number in range(60):
        assert shown(gate, f"{broadcaster}{number}", footage) == []
        if metric(gate.process, "edge_samples_judged") >= before + 10:
            return
    raise AssertionError(f"the gate looked at too little of {broadcaster}")


def flagged_in_the_middle(
    gate: RunningGate, broadcaster: str, footage: Footage, calm_ms: int = CALM_MS
) -> operator_pb2.Incident:
    """A stream that is calm until a moment and then flagged."""
    extradata, units = footage
    stop = threading.Event()

    def media() -> Iterator[gate_pb2.AccessUnit]:
        for unit in units:
            if stop.is_set():
                return
            yield unit

    stream_id = admit(gate.stub, broadcaster).stream_id
    call = gate.stub.Watch(requests(stream_id, extradata, media(), pace=0.04), timeout=TIMEOUT_S)
    raised = False
    incident_id = ""
    try:
        for answer in call:
            if not raised and answer.cleared_pts_ms >= calm_ms:
                gate.set_policy(categories=ANYTHING_FLAGS)
                raised = True
            if answer.verdict.action == gate_pb2.ACTION_FLAG:
                incident_id = answer.verdict.incident_id
                stop.set()
    finally:
        gate.set_policy(categories=NOTHING_FLAGS)
    assert incident_id
    return gate.wait_for_incident(incident_id, "evidence_path")


def confirmed(gate: RunningGate, incident_id: str, **fields: Any) -> operator_pb2.Incident:
    """The incident once it is said what was banked of it."""
    request = operator_pb2.ReviewIncidentRequest(
        incident_id=incident_id, decision=operator_pb2.INCIDENT_STATE_CONFIRMED, reason="seen", **fields
    )
    gate.operator.ReviewIncident(request, metadata=gate.admin)
    found: operator_pb2.Incident = until(
        lambda: gate.incident(incident_id),
        lambda incident: incident.banking.state != operator_pb2.BANKING_STATE_PENDING,
    )
    return found


def test_nobody_is_cut_for_what_came_before_a_confirmed_incident(gate: RunningGate, footage: Footage) -> None:
    incident = flagged_in_the_middle(gate, "anna", footage)
    begin_ms, end_ms = incident.stretch.begin_ms, incident.stretch.end_ms
    assert CALM_MS < begin_ms < end_ms < begin_ms + 1500
    incident = confirmed(gate, incident.id)
    banking = incident.banking
    assert banking.state == operator_pb2.BANKING_STATE_BANKED
    assert (banking.stretch.begin_ms, banking.stretch.end_ms) == (begin_ms, end_ms)
    frames = len(part(footage, begin_ms, end_ms + 1)[1])
    left_out = banking.left_out.seen_in_stream + banking.left_out.seen_elsewhere
    assert 0 < banking.banked_frames == frames - left_out
    until(lambda: metric(gate.process, "edge_bank_hashes"), bool)
    lead_in = part(footage, 1000 * ((begin_ms - 2000) // 1000), begin_ms)
    assert shown(gate, "berta", lead_in) == []
    assert admit(gate.stub, "berta").allowed


def test_what_a_reviewer_names_is_known_but_for_what_others_showed_and_blocks_provisionally(
    gate: RunningGate, footage: Footage
) -> None:
    until_looked_at(gate, "dora", part(footage, 5000, 6000))
    incident = flagged_in_the_middle(gate, "eva", part(footage, 5000, 10_000), 8000)
    asked = operator_pb2.ClipStretch(begin_ms=0, end_ms=incident.stretch.end_ms)
    banking = confirmed(gate, incident.id, stretch=asked).banking
    assert banking.state == operator_pb2.BANKING_STATE_BANKED
    assert banking.left_out.seen_elsewhere > 0
    for number in range(20):  # until the workers have the bank, and its new entry is checked
        said = [each for each in shown(gate, f"carla{number}", footage) if each.action == gate_pb2.ACTION_CUT]
        if said:
            break
    (cut,) = said
    assert cut.reason == "match"
    assert cut.blocked_provisionally
