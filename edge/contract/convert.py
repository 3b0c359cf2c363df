"""Between the domain's frozen types and the messages of the contract."""

from __future__ import annotations

from edge.contract.gen import gate_pb2, operator_pb2, worker_pb2
from edge.domain import (
    AccessUnit,
    Action,
    Appeal,
    AppealState,
    Audio,
    BankSeverity,
    Block,
    Incident,
    IncidentState,
    Severity,
    Signal,
    SignalSource,
    Strike,
    Tier,
    Trace,
    Verdict,
)
from edge.reasons import VerdictReason

ALL_NEEDED_MS = 2**31 - 1
"""``needed_after_keyframe_ms`` of a calm stream of which nothing can be left out."""

_ACTION = {
    Action.PASS: gate_pb2.ACTION_PASS,
    Action.FLAG: gate_pb2.ACTION_FLAG,
    Action.CUT: gate_pb2.ACTION_CUT,
}
_FROM_ACTION = {number: action for action, number in _ACTION.items()}
_TIER = {Tier.CALM: gate_pb2.TIER_KIND_CALM, Tier.ALERT: gate_pb2.TIER_KIND_ALERT}
_FROM_TIER = {number: tier for tier, number in _TIER.items()}
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
_FROM_APPEAL = {number: state for state, number in _APPEAL.items()}


def action_to_proto(action: Action) -> gate_pb2.Action.ValueType:
    return _ACTION[action]


def action_from_proto(number: gate_pb2.Action.ValueType) -> Action:
    return _FROM_ACTION.get(number, Action.PASS)


def tier_to_proto(tier: Tier) -> gate_pb2.TierKind.ValueType:
    return _TIER[tier]


def tier_from_proto(number: gate_pb2.TierKind.ValueType) -> Tier:
    return _FROM_TIER.get(number, Tier.CALM)


def state_from_proto(number: operator_pb2.IncidentState.ValueType) -> IncidentState | None:
    """None for UNSPECIFIED."""
    return _FROM_STATE.get(number)


def severity_from_proto(number: operator_pb2.Severity.ValueType) -> Severity:
    """NORMAL for UNSPECIFIED."""
    return _FROM_SEVERITY.get(number, Severity.NORMAL)


def appeal_state_from_proto(number: operator_pb2.AppealState.ValueType) -> AppealState | None:
    """None for UNSPECIFIED."""
    return _FROM_APPEAL.get(number)


def tier_change(
    tier: Tier, needed_after_keyframe_ms: int | None, *, audio_wanted: bool = False
) -> gate_pb2.TierChange:
    """``needed_after_keyframe_ms``: None where all media is needed."""
    if needed_after_keyframe_ms is None:
        needed_after_keyframe_ms = 0 if tier is Tier.ALERT else ALL_NEEDED_MS
    return gate_pb2.TierChange(
        tier=_TIER[tier], needed_after_keyframe_ms=needed_after_keyframe_ms, audio_wanted=audio_wanted
    )


def needed_from_proto(message: gate_pb2.TierChange) -> int | None:
    """How much after a keyframe is needed, milliseconds; None where all media is."""
    if tier_from_proto(message.tier) is Tier.ALERT or message.needed_after_keyframe_ms >= ALL_NEEDED_MS:
        return None
    return message.needed_after_keyframe_ms


def access_unit_to_proto(unit: AccessUnit) -> gate_pb2.AccessUnit:
    return gate_pb2.AccessUnit(pts_ms=unit.pts_ms, dts_ms=unit.dts_ms, keyframe=unit.keyframe, data=unit.data)


def access_unit_from_proto(message: gate_pb2.AccessUnit, arrival_ms: float) -> AccessUnit:
    return AccessUnit(message.pts_ms, message.dts_ms, message.keyframe, message.data, arrival_ms)


def audio_from_proto(message: gate_pb2.AudioUnits) -> Audio:
    return Audio(message.codec, message.extradata, tuple((unit.pts_ms, unit.data) for unit in message.units))


def signal_to_proto(signal: Signal) -> gate_pb2.Signal:
    return gate_pb2.Signal(
        source=signal.source.value,
        category=signal.category,
        pts_ms=signal.pts_ms,
        score=signal.score,
        distance=-1 if signal.distance is None else signal.distance,
        entry=signal.entry or "",
        detail=signal.detail,
        bank=signal.bank or "",
        severity=signal.severity or "",
        at_most=_ACTION[signal.at_most],
    )


def signal_from_proto(message: gate_pb2.Signal) -> Signal:
    return Signal(
        source=SignalSource(message.source),
        category=message.category,
        pts_ms=message.pts_ms,
        score=message.score,
        distance=None if message.distance < 0 else message.distance,
        entry=message.entry or None,
        detail=message.detail,
        bank=message.bank or None,
        severity=BankSeverity.of(message.severity),
        at_most=_at_most(message.at_most),
    )


def _at_most(number: gate_pb2.Action.ValueType) -> Action:
    """CUT where nothing is said; FLAG where it is not understood, which is no leave to cut."""
    if number == gate_pb2.ACTION_UNSPECIFIED:
        return Action.CUT
    return _FROM_ACTION.get(number, Action.FLAG)


def verdict_to_proto(verdict: Verdict) -> gate_pb2.Verdict:
    """Without what only the supervisor knows: message, incident and block."""
    acts = gate_pb2.ACTION_PASS if verdict.shadow else _ACTION[verdict.action]
    return gate_pb2.Verdict(
        action=acts,
        pts_ms=verdict.pts_ms,
        category=verdict.category,
        reason=verdict.reason.value,
        score=verdict.score,
        signals=[signal_to_proto(signal) for signal in verdict.signals],
        policy_version=verdict.policy_version,
        model_digest=verdict.model_digest,
        latency_ms=verdict.latency_ms,
        shadow_action=_ACTION[verdict.action] if verdict.shadow else gate_pb2.ACTION_UNSPECIFIED,
    )


def verdict_from_proto(message: gate_pb2.Verdict, cleared_pts_ms: int) -> Verdict:
    shadow = message.shadow_action != gate_pb2.ACTION_UNSPECIFIED
    return Verdict(
        action=_FROM_ACTION[message.shadow_action if shadow else message.action],
        pts_ms=message.pts_ms,
        cleared_pts_ms=cleared_pts_ms,
        category=message.category,
        reason=VerdictReason(message.reason),
        score=message.score,
        signals=tuple(signal_from_proto(signal) for signal in message.signals),
        policy_version=message.policy_version,
        model_digest=message.model_digest,
        shadow=shadow,
        latency_ms=message.latency_ms,
    )


def trace_from_proto(message: worker_pb2.Trace, arrival_wall_ms: int) -> Trace:
    """The worker's monotonic times as durations since the arrival."""
    start_ms = message.arrival_ms
    return Trace(
        arrival_wall_ms=arrival_wall_ms,
        decoded_ms=message.decoded_ms - start_ms,
        converted_ms=message.converted_ms - start_ms,
        taken_ms=message.taken_ms - start_ms,
        detected_ms=message.detected_ms - start_ms,
        hashed_ms=message.hashed_ms - start_ms,
        decided_ms=message.decided_ms - start_ms,
    )


def incident_to_proto(incident: Incident) -> operator_pb2.Incident:
    return operator_pb2.Incident(
        id=incident.id,
        stream_id=incident.stream_id,
        server=incident.publish.server,
        app=incident.publish.app,
        name=incident.publish.name,
        broadcaster=incident.publish.broadcaster,
        verdict=verdict_to_proto(incident.verdict),
        shadow=incident.verdict.shadow,
        state=_STATE[incident.state],
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
    )


def block_to_proto(block: Block) -> operator_pb2.Block:
    return operator_pb2.Block(
        id=block.id,
        subject_kind=block.subject_kind.value,
        subject=block.subject,
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
        state=_APPEAL[appeal.state],
        decided_wall_ms=appeal.decided_ms or 0,
        decided_by=appeal.decided_by or "",
        decision_reason=appeal.decision_reason or "",
    )
