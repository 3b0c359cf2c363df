"""Applies the policy when a live stream cannot be watched and the gate is at fault. Ends the stream when its
publisher is."""

from __future__ import annotations

from dataclasses import replace

from edge.contract.gen import gate_pb2
from edge.domain import Action, Signal, SignalSource, Verdict
from edge.errors import Fault, GateError
from edge.policy import FailureMode, Mode
from edge.reasons import DegradedReason, StampFault, VerdictReason
from edge.supervise.context import Context
from edge.supervise.enforcer import Enforcer
from edge.supervise.live_stream import LiveStream
from edge.telemetry.records import FailureModeUsed, TimestampsWrong, WatchingFailed


class FailureResponse:
    """Tells the caller, counts the failure and applies the policy's failure mode."""

    def __init__(self, context: Context, enforcer: Enforcer) -> None:
        self._context = context
        self._enforcer = enforcer

    def degraded(
        self, stream: LiveStream, reason: DegradedReason, *, count: int = 1, detail: str = ""
    ) -> None:
        """Tells the caller what was not judged."""
        if stream.responses is not None:
            answer = stream.answer()
            answer.degraded.CopyFrom(gate_pb2.Degraded(reason=reason.value, count=count, detail=detail))
            stream.responses.put(answer)

    def wrong_timestamps(self, stream: LiveStream, fault: StampFault) -> None:
        """Tells the caller that the gate's own clock replaces the stamps."""
        self._context.telemetry.report(TimestampsWrong(stream.id, stream.publish, fault))
        detail = f"timestamps {fault.replace('_', ' ')}"
        self.degraded(stream, DegradedReason.TIMESTAMPS, detail=detail)
        if not stream.distrusted and stream.wanted is not None and stream.responses is not None:
            stream.distrusted = True
            stream.responses.put(stream.tier_answer())

    def unwatched(self, stream: LiveStream, reason: DegradedReason, detail: str) -> None:
        """Reports that the gate has failed the stream and applies ``on_gate_degraded``."""
        self.degraded(stream, reason, detail=detail)
        self._apply_failure_mode(stream)

    def _apply_failure_mode(self, stream: LiveStream) -> None:
        policy = self._context.in_force.for_publish(stream.publish)
        mode = policy.failure.on_gate_degraded
        self._context.telemetry.report(FailureModeUsed("on_gate_degraded", mode.value))
        if mode is FailureMode.DENY and policy.mode is not Mode.SHADOW:
            self._enforcer.cut_without_strike(stream, VerdictReason.DEGRADED)

    def goes_on_without_video(self, stream: LiveStream) -> bool:
        """Applies ``on_no_video`` to a stream that brings audio alone."""
        mode = self._context.in_force.for_publish(stream.publish).failure.on_no_video
        self._context.telemetry.report(FailureModeUsed("on_no_video", mode.value))
        return mode is FailureMode.ALLOW

    def blind(self, stream: LiveStream) -> None:
        """Handles a blind time past its limit. If the worker has judged nothing at all, the gate has failed
        the stream as well."""
        policy = self._context.in_force.for_publish(stream.publish)
        action = policy.failure.on_blind
        shadow = policy.mode is Mode.SHADOW
        if action is Action.CUT and not shadow:
            self._enforcer.cut_without_strike(stream, VerdictReason.BLIND)
        elif action is not Action.PASS:
            verdict = Verdict(action, -1, stream.cleared_pts_ms, reason=VerdictReason.BLIND, shadow=shadow)
            self._flag(stream, verdict)
        if not stream.judged and not stream.cutting:
            self._apply_failure_mode(stream)

    def unwatchable(
        self, stream: LiveStream, error: GateError, reason: VerdictReason = VerdictReason.UNWATCHABLE
    ) -> None:
        """Ends a stream whose publisher sent what cannot be watched. No failure mode applies.

        The stream is cut without a strike, and an incident is opened. In shadow mode only the incident is
        opened, and the call ends without an error. A worker already has the media for the evidence.
        """
        assert error.fault is Fault.PUBLISHER
        publish, detail = stream.publish, str(error)
        self._context.telemetry.report(WatchingFailed(stream.id, publish, error.reason, detail))
        quarantined = reason is VerdictReason.QUARANTINED
        word = DegradedReason.QUARANTINED if quarantined else DegradedReason(error.reason)
        self.degraded(stream, word, detail=detail)
        shadow = self._context.in_force.for_publish(publish).mode is Mode.SHADOW
        verdict = _verdict_on(stream, error, Action.CUT, reason, shadow=shadow)
        if shadow:
            self._flag(stream, verdict, media_sent=True)
        else:
            self._context.pauses.faulted(publish, self._context.clock.monotonic_ms())
            if not self._enforcer.cut_unwatchable(stream, verdict):
                self._flag(stream, replace(verdict, action=Action.FLAG), media_sent=True)
        if stream.responses is not None:
            stream.responses.close(None if shadow else error)

    def flag_unwatchable(self, stream: LiveStream, error: GateError) -> None:
        """Opens an incident on a stream that cannot be watched, and lets it run."""
        self._context.telemetry.report(WatchingFailed(stream.id, stream.publish, error.reason, str(error)))
        shadow = self._context.in_force.for_publish(stream.publish).mode is Mode.SHADOW
        verdict = _verdict_on(stream, error, Action.FLAG, VerdictReason.UNWATCHABLE, shadow=shadow)
        self._flag(stream, verdict)

    def _flag(self, stream: LiveStream, verdict: Verdict, *, media_sent: bool = False) -> None:
        policy = self._context.in_force.for_publish(stream.publish)
        self._enforcer.flag(stream, verdict, policy, media_sent=media_sent)


def _verdict_on(
    stream: LiveStream, error: GateError, action: Action, reason: VerdictReason, *, shadow: bool
) -> Verdict:
    signal = Signal(SignalSource.MEDIA, error.reason, stream.cleared_pts_ms, 0.0, detail=str(error))
    return Verdict(action, -1, stream.cleared_pts_ms, reason=reason, signals=(signal,), shadow=shadow)
