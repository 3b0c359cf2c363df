"""Converts between the domain and ``edge.operator.v1``: what people read and decide."""

from __future__ import annotations

from collections.abc import Sequence

from edge.banking import Banking, BankingState
from edge.contract.gate import signal_to_proto, verdict_to_proto
from edge.contract.gen import operator_pb2
from edge.domain import (
    INCIDENT_BANK,
    Activity,
    Appeal,
    AppealState,
    Block,
    CaseStanding,
    Comment,
    Incident,
    IncidentState,
    ScorePoint,
    Severity,
    Strike,
)
from edge.ledger import EvidenceErasure

_STATE = {
    IncidentState.OPEN: operator_pb2.INCIDENT_STATE_OPEN,
    IncidentState.CONFIRMED: operator_pb2.INCIDENT_STATE_CONFIRMED,
    IncidentState.OVERTURNED: operator_pb2.INCIDENT_STATE_OVERTURNED,
    IncidentState.ESCALATED: operator_pb2.INCIDENT_STATE_ESCALATED,
    IncidentState.CONFIRMED_ONCE: operator_pb2.INCIDENT_STATE_CONFIRMED_ONCE,
}
_FROM_STATE = {number: state for state, number in _STATE.items()}
_SEVERITY = {
    Severity.NORMAL: operator_pb2.SEVERITY_NORMAL,
    Severity.SEVERE: operator_pb2.SEVERITY_SEVERE,
}
_FROM_SEVERITY = {number: severity for severity, number in _SEVERITY.items()}
_APPEAL = {
    AppealState.OPEN: operator_pb2.APPEAL_STATE_OPEN,
    AppealState.GRANTED: operator_pb2.APPEAL_STATE_GRANTED,
    AppealState.DENIED: operator_pb2.APPEAL_STATE_DENIED,
}
_BANKING = {
    BankingState.CHOSEN: operator_pb2.BANKING_STATE_CHOSEN,
    BankingState.PENDING: operator_pb2.BANKING_STATE_PENDING,
    BankingState.BANKED: operator_pb2.BANKING_STATE_BANKED,
    BankingState.NOTHING: operator_pb2.BANKING_STATE_NOTHING,
    BankingState.FAILED: operator_pb2.BANKING_STATE_FAILED,
    BankingState.WITHDRAWING: operator_pb2.BANKING_STATE_WITHDRAWING,
    BankingState.WITHDRAWN: operator_pb2.BANKING_STATE_WITHDRAWN,
}
_FROM_APPEAL = {number: state for state, number in _APPEAL.items()}


def state_from_proto(number: operator_pb2.IncidentState.ValueType) -> IncidentState | None:
    """Returns the state, or None for UNSPECIFIED."""
    return _FROM_STATE.get(number)


def severity_from_proto(number: operator_pb2.Severity.ValueType) -> Severity:
    """Returns the severity, or NORMAL for UNSPECIFIED."""
    return _FROM_SEVERITY.get(number, Severity.NORMAL)


def appeal_state_from_proto(number: operator_pb2.AppealState.ValueType) -> AppealState | None:
    """Returns the state, or None for UNSPECIFIED."""
    return _FROM_APPEAL.get(number)


def incident_to_proto(
    incident: Incident, standing: CaseStanding, stream_id: str | None = None
) -> operator_pb2.Incident:
    """``stream_id`` is shown in place of the incident's own."""
    return operator_pb2.Incident(
        id=incident.id,
        stream_id=incident.stream_id if stream_id is None else stream_id,
        server=incident.publish.server,
        app=incident.publish.app,
        name=incident.publish.name,
        broadcaster=incident.publish.broadcaster,
        identity_unproven=not incident.publish.identity_proven,
        verdict=verdict_to_proto(incident.verdict),
        shadow=incident.verdict.shadow,
        provisional=standing.provisional,
        pardoned=standing.pardoned,
        gate=incident.gate,
        evidence_sha256=incident.custody.evidence_sha256 or "",
        evidence_erased_wall_ms=incident.custody.evidence_erased_ms or 0,
        evidence_erased_why=incident.custody.evidence_erased_why or "",
        held_by=incident.custody.hold_by or "",
        hold_reason=incident.custody.hold_reason or "",
        state=_STATE.get(incident.state, operator_pb2.INCIDENT_STATE_UNSPECIFIED),
        evidence_path=incident.evidence_path or "",
        created_wall_ms=incident.created_ms,
        durable_wall_ms=incident.durable_ms or 0,
        cut_asked_wall_ms=incident.cut_asked_ms or 0,
        cut_confirmed_wall_ms=incident.cut_confirmed_ms or 0,
        confirmed_by=incident.confirmed_by or "",
        cut_unconfirmed_wall_ms=incident.cut_unconfirmed_ms or 0,
        cut_unconfirmed_reason=incident.cut_unconfirmed_reason or "",
        claimed_by=incident.review.claimed_by or "",
        claimed_until_wall_ms=incident.review.claimed_until_ms or 0,
        first_confirmed_by=incident.review.first_confirmed_by or "",
        first_confirmed_wall_ms=incident.review.first_confirmed_ms or 0,
        reviewed_by=incident.review.reviewed_by or "",
        reviewed_wall_ms=incident.review.reviewed_ms or 0,
        review_reason=incident.review.review_reason or "",
        looked_by=incident.review.looked_by or "",
        looked_wall_ms=incident.review.looked_ms or 0,
        undo_until_wall_ms=incident.review.undo_until_ms or 0,
        stretch=_stretch_to_proto(incident.stretch_ms),
        activity=None if incident.activity is None else _activity_to_proto(incident.activity),
        banking=None if incident.banking is None else _banking_to_proto(incident.banking),
    )


def account_to_proto(
    incident: Incident, scores: Sequence[ScorePoint], clip_bytes: int
) -> operator_pb2.EvidenceAccount:
    """What the machine has to say of an incident. ``scores`` are in media time."""
    begin_ms, end_ms = incident.evidence_begin_pts_ms, incident.evidence_end_pts_ms
    return operator_pb2.EvidenceAccount(
        scores=[
            operator_pb2.ScorePoint(
                clip_ms=point.pts_ms - (begin_ms or 0), category=point.category, score=point.score
            )
            for point in scores
        ],
        witnesses=[
            operator_pb2.EvidenceWitness(
                signal=signal_to_proto(signal),
                clip_ms=None if begin_ms is None else signal.pts_ms - begin_ms,
                bank_incident_id=(signal.entry or "") if signal.bank == INCIDENT_BANK else "",
            )
            for signal in incident.verdict.signals
        ],
        clip_length_ms=0 if begin_ms is None or end_ms is None else end_ms - begin_ms,
        clip_bytes=clip_bytes,
    )


def erasure_to_proto(erasure: EvidenceErasure) -> operator_pb2.EvidenceErasure:
    return operator_pb2.EvidenceErasure(
        incident_id=erasure.incident_id,
        why=erasure.why,
        wall_ms=erasure.wall_ms,
        files=[
            operator_pb2.ErasedFile(name=file.name, total_bytes=file.bytes, sha256=file.sha256)
            for file in erasure.files
        ],
    )


def _activity_to_proto(activity: Activity) -> operator_pb2.Activity:
    return operator_pb2.Activity(
        verdicts=activity.verdicts,
        peak_score=activity.peak_score,
        start_pts_ms=activity.start_pts_ms,
        end_pts_ms=activity.end_pts_ms,
        seen_wall_ms=activity.seen_ms,
    )


def _banking_to_proto(banking: Banking) -> operator_pb2.Banking:
    return operator_pb2.Banking(
        state=_BANKING[banking.state],
        reason=banking.reason or "",
        stretch=_stretch_to_proto(banking.stretch_ms),
        banked_frames=banking.frames,
        left_out=operator_pb2.LeftOutFrames(
            **{reason.value: frames for reason, frames in banking.left_out.items()}
        ),
        detail=banking.detail,
        gates_not_asked=banking.gates_not_asked,
    )


def _stretch_to_proto(stretch_ms: tuple[int, int] | None) -> operator_pb2.ClipStretch | None:
    if stretch_ms is None:
        return None
    return operator_pb2.ClipStretch(begin_ms=stretch_ms[0], end_ms=stretch_ms[1])


def comment_to_proto(comment: Comment) -> operator_pb2.Comment:
    return operator_pb2.Comment(
        id=comment.id,
        created_wall_ms=comment.created_ms,
        created_by=comment.created_by,
        text=comment.text,
    )


def block_to_proto(block: Block) -> operator_pb2.Block:
    return operator_pb2.Block(
        id=block.id,
        subject_kind=block.subject_kind.value,
        subject=block.shown_subject,
        app=block.app,
        reason=block.reason,
        category=block.category,
        created_wall_ms=block.created_ms,
        until_wall_ms=block.until_ms,
        incident_id=block.incident_id or "",
        created_by=block.created_by,
        lifted_wall_ms=block.lifted_ms or 0,
        lifted_by=block.lifted_by or "",
        lift_reason=block.lift_reason or "",
        provisional=block.provisional,
        full_until_wall_ms=block.until_ms
        if block.full_until_ms is None or not block.provisional
        else block.full_until_ms,
        review_by_wall_ms=block.review_by_ms or 0,
        strike_id=block.strike_id or "",
    )


def strike_to_proto(strike: Strike) -> operator_pb2.Strike:
    return operator_pb2.Strike(
        id=strike.id,
        broadcaster=strike.broadcaster,
        app=strike.app,
        category=strike.category,
        severity=_SEVERITY[strike.severity],
        incident_id=strike.incident_id or "",
        created_wall_ms=strike.created_ms,
        created_by=strike.created_by,
        reason=strike.reason,
        review_by_wall_ms=strike.review_by_ms or 0,
        pardoned_wall_ms=strike.pardoned_ms or 0,
        pardoned_by=strike.pardoned_by or "",
        pardon_reason=strike.pardon_reason or "",
        part_of_strike_id=strike.part_of or "",
        provisional=strike.provisional,
        pardoned=strike.pardoned,
    )


def appeal_to_proto(appeal: Appeal) -> operator_pb2.Appeal:
    return operator_pb2.Appeal(
        id=appeal.id,
        incident_id=appeal.incident_id or "",
        block_id=appeal.block_id or "",
        broadcaster=appeal.broadcaster,
        app=appeal.app,
        text=appeal.text,
        filed_wall_ms=appeal.filed_ms,
        filed_by=appeal.filed_by,
        state=_APPEAL.get(appeal.state, operator_pb2.APPEAL_STATE_UNSPECIFIED),
        decided_wall_ms=appeal.decided_ms or 0,
        decided_by=appeal.decided_by or "",
        decision_reason=appeal.decision_reason or "",
    )
