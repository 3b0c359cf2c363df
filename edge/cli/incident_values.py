"""An incident as plain values, for ``--json`` and for the words of the commands."""

from __future__ import annotations

from typing import Any

from edge.contract.gen import gate_pb2, operator_pb2

STATES = {
    "open": operator_pb2.INCIDENT_STATE_OPEN,
    "confirmed_once": operator_pb2.INCIDENT_STATE_CONFIRMED_ONCE,
    "confirmed": operator_pb2.INCIDENT_STATE_CONFIRMED,
    "overturned": operator_pb2.INCIDENT_STATE_OVERTURNED,
    "escalated": operator_pb2.INCIDENT_STATE_ESCALATED,
}
BANKING = {
    operator_pb2.BANKING_STATE_PENDING: "pending",
    operator_pb2.BANKING_STATE_BANKED: "banked",
    operator_pb2.BANKING_STATE_NOTHING: "nothing",
    operator_pb2.BANKING_STATE_FAILED: "failed",
    operator_pb2.BANKING_STATE_WITHDRAWING: "withdrawing",
    operator_pb2.BANKING_STATE_WITHDRAWN: "withdrawn",
    operator_pb2.BANKING_STATE_CHOSEN: "chosen",
}
LEFT_OUT = {
    "low_quality": "show too little",
    "still": "stand still",
    "seen_in_stream": "are in the calm part of the stream, too",
    "seen_elsewhere": "were passed in another stream of the last day",
    "benign": "are in a benign bank",
}
WORDS = {number: word for word, number in STATES.items()}
ACTIONS = {gate_pb2.ACTION_PASS: "pass", gate_pb2.ACTION_FLAG: "flag", gate_pb2.ACTION_CUT: "cut"}


def as_dict(incident: operator_pb2.Incident) -> dict[str, Any]:
    verdict = incident.verdict
    action = verdict.shadow_action if incident.shadow else verdict.action
    return {
        "id": incident.id,
        "stream_id": incident.stream_id,
        "server": incident.server,
        "app": incident.app,
        "name": incident.name,
        "broadcaster": incident.broadcaster,
        "action": ACTIONS.get(action, ""),
        "shadow": incident.shadow,
        "provisional": incident.provisional,
        "pardoned": incident.pardoned,
        "category": verdict.category or None,
        "reason": verdict.reason,
        "rule": verdict.rule or None,
        "urgent": verdict.urgent,
        "score": verdict.score,
        "signals": [
            {
                "source": signal.source,
                "category": signal.category,
                "kind": signal.kind or None,
                "begin_pts_ms": signal.begin_pts_ms if signal.HasField("begin_pts_ms") else None,
                "pts_ms": signal.pts_ms,
                "score": signal.score,
                "distance": None if signal.distance < 0 else signal.distance,
                "entry": signal.entry or None,
                "bank": signal.bank or None,
                "severity": signal.severity or None,
                "at_most": ACTIONS.get(signal.at_most),
                "missed_ms": signal.missed_ms if signal.HasField("missed_ms") else None,
                "detail": signal.detail,
            }
            for signal in verdict.signals
        ],
        "policy_version": verdict.policy_version,
        "model_digest": verdict.model_digest,
        "activity": _activity_of(incident),
        "state": WORDS.get(incident.state, "unknown"),
        "created_wall_ms": incident.created_wall_ms,
        "looked_by": incident.looked_by or None,
        "looked_wall_ms": incident.looked_wall_ms or None,
        "undo_until_wall_ms": incident.undo_until_wall_ms or None,
        "banking": banking_dict(incident.banking) if incident.HasField("banking") else None,
        "evidence_path": incident.evidence_path or None,
        "evidence_sha256": incident.evidence_sha256 or None,
        "evidence_erased_wall_ms": incident.evidence_erased_wall_ms or None,
        "evidence_erased_why": incident.evidence_erased_why or None,
        "held_by": incident.held_by or None,
        "hold_reason": incident.hold_reason or None,
        "gate": incident.gate or None,
        "stretch": _stretch_dict(incident.stretch) if incident.HasField("stretch") else None,
        "durable_wall_ms": incident.durable_wall_ms or None,
        "cut_asked_wall_ms": incident.cut_asked_wall_ms or None,
        "cut_confirmed_wall_ms": incident.cut_confirmed_wall_ms or None,
        "confirmed_by": incident.confirmed_by or None,
        "cut_unconfirmed_wall_ms": incident.cut_unconfirmed_wall_ms or None,
        "cut_unconfirmed_reason": incident.cut_unconfirmed_reason or None,
        "claimed_by": incident.claimed_by or None,
        "claimed_until_wall_ms": incident.claimed_until_wall_ms or None,
        "first_confirmed_by": incident.first_confirmed_by or None,
        "first_confirmed_wall_ms": incident.first_confirmed_wall_ms or None,
        "reviewed_by": incident.reviewed_by or None,
        "reviewed_wall_ms": incident.reviewed_wall_ms or None,
        "review_reason": incident.review_reason or None,
    }


def _activity_of(incident: operator_pb2.Incident) -> dict[str, Any] | None:
    if not incident.HasField("activity"):
        return None
    activity = incident.activity
    return {
        "verdicts": activity.verdicts,
        "peak_score": activity.peak_score,
        "start_pts_ms": activity.start_pts_ms,
        "end_pts_ms": activity.end_pts_ms,
        "seen_wall_ms": activity.seen_wall_ms,
    }


def _stretch_dict(stretch: operator_pb2.ClipStretch) -> dict[str, int]:
    return {"begin_ms": stretch.begin_ms, "end_ms": stretch.end_ms}


def banking_dict(banking: operator_pb2.Banking) -> dict[str, Any]:
    return {
        "state": BANKING.get(banking.state, ""),
        "reason": banking.reason or None,
        "stretch": _stretch_dict(banking.stretch) if banking.HasField("stretch") else None,
        "banked_frames": banking.banked_frames,
        "left_out": {reason: getattr(banking.left_out, reason) for reason in LEFT_OUT},
        "detail": banking.detail or None,
        "gates_not_asked": list(banking.gates_not_asked),
    }
