"""A command shows what only a newer gate knows, and does not end over it."""

from __future__ import annotations

from edge.cli import appeal, incident_values
from edge.contract.gen import operator_pb2
from edge.contract.operator import appeal_to_proto, incident_to_proto
from edge.domain import (
    Action,
    Appeal,
    AppealState,
    CaseStanding,
    Incident,
    IncidentState,
    Publish,
    Verdict,
    new_id,
    new_stream_id,
)

NOW = 1_700_000_000_000


def test_an_incident_in_an_unknown_state() -> None:
    publish = Publish("test", "c", "live", "n", "anna")
    known = Incident(new_id("in"), new_stream_id(), publish, Verdict(Action.FLAG, 0, 0), NOW)
    parked = Incident(known.id, known.stream_id, publish, known.verdict, NOW, IncidentState("parked"))
    assert incident_values.as_dict(incident_to_proto(known, CaseStanding()))["state"] == "open"
    message = incident_to_proto(parked, CaseStanding())
    assert message.state == operator_pb2.INCIDENT_STATE_UNSPECIFIED
    assert incident_values.as_dict(message)["state"] == "unknown"


def test_an_appeal_in_an_unknown_state() -> None:
    parked = Appeal("ap_1", None, "bl_1", "anna", "live", "no", NOW, "platform", AppealState("parked"))
    message = appeal_to_proto(parked)
    assert message.state == operator_pb2.APPEAL_STATE_UNSPECIFIED
    assert appeal.as_dict(message)["state"] == "unknown"
