"""Acts on the reports of workers: answers callers, enforces verdicts, reports telemetry."""

from __future__ import annotations

from dataclasses import replace

from edge.background import BackgroundTasks
from edge.contract.gate import signal_from_proto, tier_from_proto, verdict_from_proto
from edge.contract.gen import gate_pb2, worker_pb2
from edge.contract.worker import trace_from_proto
from edge.domain import Action, SignalSource
from edge.match import RecentFootage
from edge.match.pdq.hasher import HASH_BYTES
from edge.reasons import DegradedReason, StampFault, VerdictReason
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.banks_in_service import BanksInService
from edge.supervise.clean_records import match_weight
from edge.supervise.context import Context
from edge.supervise.counted_matches import CountedMatches
from edge.supervise.enforcer import Enforcer
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.live_stream import LiveStream
from edge.supervise.model_swap import ModelSwap
from edge.supervise.stream_router import StreamRouter
from edge.telemetry.records import (
    JudgedTooLate,
    NotJudged,
    NotPassed,
    Passed,
    Record,
    SourceOpened,
    WorkerMeasured,
)


class WorkerEventHandler:
    """Implements the pool's ``WorkerEvents``."""

    def __init__(
        self,
        context: Context,
        router: StreamRouter,
        enforcer: Enforcer,
        failure_response: FailureResponse,
        bank_updates: BankUpdates,
        banks: BanksInService,
        model_swap: ModelSwap,
        tasks: BackgroundTasks,
        recent: RecentFootage,
        counted: CountedMatches,
    ) -> None:
        self._context = context
        self._router = router
        self._enforcer = enforcer
        self._failure_response = failure_response
        self._bank_updates = bank_updates
        self._banks = banks
        self._model_swap = model_swap
        self._tasks = tasks
        self._recent = recent
        self._counted = counted
        self._report = context.telemetry.report

    def on_worker_event(self, event: worker_pb2.FromWorker) -> None:
        match event.WhichOneof("event"):
            case "judged":
                self._judged(event.judged)
            case "tier_changed":
                self._tier_changed(event.tier_changed)
            case "notice":
                self._noticed(event.notice)
            case "pong":
                for one in event.pong.distributions:
                    self._report(WorkerMeasured(one.name, tuple(one.counts), one.sum_ms))
            case "closed":
                self._router.ends.closed(event.closed)
            case "budget":
                self._router.ends.budget_reported(event.budget)
            case "evidence_saved":
                self._enforcer.evidence_saved(event.evidence_saved)
            case "contained":
                self._context.containment.note("worker", event.contained)
            case "source_opened":
                self._report(SourceOpened(event.source_opened.stream_id, event.source_opened.codec))

    def on_streams_lost(self, stream_ids: tuple[str, ...], quarantined: str | None) -> None:
        self._router.ends.streams_lost(stream_ids, quarantined)

    def on_matching_failed(self) -> None:
        self._banks.matching_failed()

    def on_record(self, record: Record) -> None:
        self._report(record)

    def on_not_restarted(self) -> None:
        self._tasks.start(self._model_swap.look_after())

    def _judged(self, judged: worker_pb2.Judged) -> None:
        context = self._context
        stream = context.registry.find(judged.stream_id)
        said = judged.verdict
        if stream is None and said.action == gate_pb2.ACTION_CUT:
            self._report(JudgedTooLate(judged.stream_id))
        if stream is None or stream.cutting or context.stopped:
            return
        if not judged.by_witness:
            self._note_sample(stream, judged)
        for signal in said.signals:
            if signal.source == SignalSource.DETECT:
                stream.scores.note(signal.category, signal.pts_ms, signal.score)
            elif signal.at_most == gate_pb2.ACTION_PASS:
                self._counted.note(stream, signal)
        for going_on in judged.going_on:
            incident_id = self._enforcer.goes_on(stream, signal_from_proto(going_on))
            said.going_on_incident_id = said.going_on_incident_id or incident_id
        self._remember(stream, judged)
        passes = said.action == gate_pb2.ACTION_PASS and said.shadow_action == gate_pb2.ACTION_UNSPECIFIED
        if passes or judged.shadow:
            stream.action = Action.FLAG if said.going_on_incident_id else Action.PASS
            if stream.responses is not None and not (passes and judged.by_witness):
                stream.responses.put(stream.verdict_answer(said))
        if passes:
            if not judged.by_witness:
                self._report(Passed(said.latency_ms))
            return
        verdict = verdict_from_proto(said, judged.cleared_pts_ms)
        if judged.HasField("trace"):
            ago_ms = context.clock.monotonic_ms() - judged.trace.arrival_ms
            trace = trace_from_proto(judged.trace, context.clock.wall_ms() - round(ago_ms))
            verdict = replace(verdict, trace=trace)
        reason = "shadow" if verdict.shadow else verdict.reason
        self._report(NotPassed(verdict.action, reason, said.latency_ms))
        if verdict.action is Action.PASS:
            return
        if verdict.reason in (VerdictReason.MATCH, VerdictReason.AUDIO):
            looks = context.in_force.for_publish(stream.publish).looks
            clean_ms = context.clean.clean_ms(stream.publish)
            weight = match_weight(clean_ms, looks, struck=stream.struck)
            self._tasks.start(self._bank_updates.matched(stream.id, verdict.signals, weight))
        policy = context.in_force.for_publish(stream.publish)
        if verdict.action is Action.FLAG or verdict.shadow:
            self._enforcer.flag(stream, verdict, policy)
        else:
            self._enforcer.cut_stream(stream, verdict, judged.judged_ms, policy)

    def _note_sample(self, stream: LiveStream, judged: worker_pb2.Judged) -> None:
        """Notes that a sample of the stream was judged."""
        stream.samples += 1
        stream.judged_ms = now = self._context.clock.monotonic_ms()
        if not stream.judged:
            stream.judged = True
            self._context.pool.shown(stream.id)
        if stream.watched_since_ms is None:
            stream.watched_since_ms = now
        if stream.verdict_came is not None:
            stream.verdict_came.set()
        stream.pulls = 0
        stream.score = judged.score
        stream.tier = tier_from_proto(judged.tier)
        stream.note_judged(judged)

    def _remember(self, stream: LiveStream, judged: worker_pb2.Judged) -> None:
        """Remembers frames that a stream showed."""
        context = self._context
        for view in judged.calm_views:
            if len(view.bits) == HASH_BYTES:
                self._recent.remember(
                    stream.id,
                    view.bits,
                    view.pts_ms,
                    context.clock.wall_ms(),
                    len(context.registry),
                    view.unseen_ms,
                    passed=not view.not_passed,
                )

    def _tier_changed(self, event: worker_pb2.TierChanged) -> None:
        stream = self._context.registry.find(event.stream_id)
        if stream is None:
            return
        stream.tier, stream.wanted = tier_from_proto(event.tier.tier), event.tier
        self._router.channel.tier_changed(stream, event.tier)
        if stream.responses is not None:
            stream.responses.put(stream.tier_answer())
            stream.responses.told_opened = True

    def _noticed(self, event: worker_pb2.Notice) -> None:
        degraded = event.degraded
        stream = self._context.registry.find(event.stream_id)
        if degraded.reason == DegradedReason.TIMESTAMPS:
            if stream is not None:
                self._failure_response.wrong_timestamps(stream, StampFault.DISORDER)
            return
        self._report(NotJudged(event.stream_id, degraded.reason, degraded.count))
        if stream is not None:
            reason = DegradedReason(degraded.reason)
            stream.shed += degraded.count
            self._failure_response.degraded(stream, reason, count=degraded.count, detail=degraded.detail)
            if reason is DegradedReason.BLIND and not stream.cutting:
                self._failure_response.blind(stream)
