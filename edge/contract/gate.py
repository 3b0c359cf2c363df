"""Converts between the domain and ``edge.gate.v1``: media in, verdicts and tiers out."""

from __future__ import annotations

from edge.contract.gen import gate_pb2
from edge.domain import (
    AccessUnit,
    Action,
    Audio,
    BankSeverity,
    ModelKind,
    Signal,
    SignalSource,
    Tier,
    Verdict,
)
from edge.reasons import VerdictReason

ALL_NEEDED_MS = 2**31 - 1
"""``needed_after_keyframe_ms`` of a calm stream that needs all of its media."""
_ACTION = {
    Action.PASS: gate_pb2.ACTION_PASS,
    Action.FLAG: gate_pb2.ACTION_FLAG,
    Action.CUT: gate_pb2.ACTION_CUT,
}
_FROM_ACTION = {number: action for action, number in _ACTION.items()}
_TIER = {Tier.CALM: gate_pb2.TIER_KIND_CALM, Tier.ALERT: gate_pb2.TIER_KIND_ALERT}
_FROM_TIER = {number: tier for tier, number in _TIER.items()}


def action_to_proto(action: Action) -> gate_pb2.Action.ValueType:
    return _ACTION[action]


def action_from_proto(number: gate_pb2.Action.ValueType) -> Action:
    return _FROM_ACTION.get(number, Action.PASS)


def tier_to_proto(tier: Tier) -> gate_pb2.TierKind.ValueType:
    return _TIER[tier]


def tier_from_proto(number: gate_pb2.TierKind.ValueType) -> Tier:
    return _FROM_TIER.get(number, Tier.CALM)


def tier_change(
    tier: Tier, needed_after_keyframe_ms: int | None, *, audio_wanted: bool = False
) -> gate_pb2.TierChange:
    """Makes a TierChange. ``needed_after_keyframe_ms`` is None when all media is needed."""
    if needed_after_keyframe_ms is None:
        needed_after_keyframe_ms = 0 if tier is Tier.ALERT else ALL_NEEDED_MS
    return gate_pb2.TierChange(
        tier=_TIER[tier], needed_after_keyframe_ms=needed_after_keyframe_ms, audio_wanted=audio_wanted
    )


def needed_from_proto(message: gate_pb2.TierChange) -> int | None:
    """Returns the media needed after a keyframe in milliseconds, or None when all is needed."""
    if tier_from_proto(message.tier) is Tier.ALERT or message.needed_after_keyframe_ms >= ALL_NEEDED_MS:
        return None
    return message.needed_after_keyframe_ms


def access_unit_to_proto(unit: AccessUnit) -> gate_pb2.AccessUnit:
    return gate_pb2.AccessUnit(pts_ms=unit.pts_ms, dts_ms=unit.dts_ms, keyframe=unit.keyframe, data=unit.data)


def access_unit_from_proto(message: gate_pb2.AccessUnit, arrival_ms: float) -> AccessUnit:
    return AccessUnit(message.pts_ms, message.dts_ms, message.keyframe, message.data, arrival_ms)


def audio_to_proto(audio: Audio) -> gate_pb2.AudioUnits:
    units = [gate_pb2.AudioUnit(pts_ms=pts_ms, data=data) for pts_ms, data in audio.units]
    return gate_pb2.AudioUnits(codec=audio.codec, extradata=audio.extradata, units=units)


def audio_from_proto(message: gate_pb2.AudioUnits) -> Audio:
    return Audio(message.codec, message.extradata, tuple((unit.pts_ms, unit.data) for unit in message.units))


def _at_most(number: gate_pb2.Action.ValueType) -> Action:
    """Returns the strongest action that a signal allows.

    CUT when the message names none. FLAG for an unknown number, which must not allow a cut.
    """
    if number == gate_pb2.ACTION_UNSPECIFIED:
        return Action.CUT
    return _FROM_ACTION.get(number, Action.FLAG)


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
        begin_pts_ms=signal.begin_pts_ms,
        kind=signal.kind or "",
        missed_ms=signal.missed_ms,
        variant=signal.variant or "",
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
        begin_pts_ms=message.begin_pts_ms if message.HasField("begin_pts_ms") else None,
        kind=ModelKind(message.kind) if message.kind else None,
        missed_ms=message.missed_ms if message.HasField("missed_ms") else None,
        variant=message.variant or None,
    )


def verdict_to_proto(verdict: Verdict) -> gate_pb2.Verdict:
    """Converts a verdict, without message, incident and block, which only the supervisor knows."""
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
        begin_pts_ms=verdict.begin_pts_ms,
        rule=verdict.rule,
        urgent=verdict.urgent,
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
        begin_pts_ms=message.begin_pts_ms if message.HasField("begin_pts_ms") else None,
        rule=message.rule,
        urgent=message.urgent,
    )
