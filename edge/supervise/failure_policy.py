"""What the policy wants when a running stream cannot be watched."""

from __future__ import annotations

from edge.contract.gen import gate_pb2
from edge.domain import Action, Verdict
from edge.policy import FailureMode, Mode
from edge.reasons import DegradedReason, VerdictReason
from edge.supervise.context import Context
from edge.supervise.enforcer import Enforcer
from edge.supervise.registry import LiveStream
from edge.telemetry.records import FailureModeUsed


class FailureResponse:
    """Says it to the caller, counts it, and applies the policy's failure mode."""

    def __init__(self, context: Context, enforcer: Enforcer) -> None:
        self._context = context
        self._enforcer = enforcer

    def degraded(
        self, stream: LiveStream, reason: DegradedReason, *, count: int = 1, detail: str = ""
    ) -> None:
        """Tell the caller of something that was not judged."""
        degraded = gate_pb2.Degraded(reason=reason.value, count=count, detail=detail)
        if stream.responses is not None:
            stream.responses.put(
                gate_pb2.WatchResponse(cleared_pts_ms=stream.cleared_pts_ms, degraded=degraded)
            )

    def unwatched(self, stream: LiveStream, reason: DegradedReason, detail: str) -> None:
        """The gate has failed the stream."""
        self.degraded(stream, reason, detail=detail)
        self._apply_failure_mode(stream)

    def _apply_failure_mode(self, stream: LiveStream) -> None:
        policy = self._context.in_force.for_publish(stream.publish)
        mode = policy.failure.on_gate_degraded
        self._context.telemetry.report(FailureModeUsed("on_gate_degraded", mode.value))
        if mode is FailureMode.DENY and policy.mode is Mode.ENFORCE:
            self._enforcer.cut_without_strike(stream, VerdictReason.DEGRADED)

    def blind(self, stream: LiveStream) -> None:
        """The stream's blind time is past its limit. Where its worker has judged nothing of it at all, the
        gate has failed it as well."""
        policy = self._context.in_force.for_publish(stream.publish)
        action = policy.failure.on_blind
        shadow = policy.mode is Mode.SHADOW
        if action is Action.CUT and not shadow:
            self._enforcer.cut_without_strike(stream, VerdictReason.BLIND)
        elif action is not Action.PASS:
            verdict = Verdict(action, -1, stream.cleared_pts_ms, reason=VerdictReason.BLIND, shadow=shadow)
            self._enforcer.flag(stream, verdict)
        if not stream.judged and not stream.cutting:
            self._apply_failure_mode(stream)

    def quarantined(self, stream: LiveStream, detail: str) -> None:
        """Its media has ended workers, and is in one for evidence; an incident for people, and the failure
        mode."""
        verdict = Verdict(Action.FLAG, -1, stream.cleared_pts_ms, reason=VerdictReason.QUARANTINED)
        self._enforcer.flag(stream, verdict, media_sent=True)
        self.unwatched(stream, DegradedReason.QUARANTINED, detail)
