"""Video jobs of a worker's streams: decodes and judges by urgency and deadline.

Access units wait in bounded queues. What cannot be judged in time is shed and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Final

import structlog

from edge.clock import Clock
from edge.contract.gate import signal_to_proto, tier_to_proto, verdict_to_proto
from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit, Action, Sample
from edge.errors import BrokenMedia, GateError, LimitExceeded
from edge.reasons import DegradedReason
from edge.stream import Judgement, StageTimes, StreamPipeline
from edge.telemetry.distributions import Distributions
from edge.workers.deadline_queue import DeadlineQueue
from edge.workers.degradation_reports import DegradationReports
from edge.workers.recent_costs import CostsByClass
from edge.workers.settings import WorkerSettings
from edge.workers.worker_stream import Urgency, WorkerStream

_JUDGE_FIRST_MS: Final = 1.0
_MOST_IN_FRONT: Final = 8
"""Most opportunistic units of a stream that are still decoded before one that is due."""


log = structlog.get_logger(__name__)


class VideoJobs:
    """Video jobs of all streams of a worker. Runs in the loop's thread."""

    def __init__(
        self,
        settings: WorkerSettings,
        streams: Mapping[str, WorkerStream],
        jobs: DeadlineQueue[Callable[[WorkerStream], None]],
        notices: DegradationReports,
        times: Distributions,
        send: Callable[[worker_pb2.FromWorker], None],
        clock: Clock,
        *,
        needs_changed: Callable[[WorkerStream], None],
        pictures_came: Callable[[WorkerStream], None],
    ) -> None:
        """``needs_changed`` is called when a stream needs other media than before. ``pictures_came`` is
        called after decoding, which may have shown frames to the frame model."""
        self._settings = settings
        self._streams = streams
        self._jobs = jobs
        self._notices = notices
        self._times = times
        self._send = send
        self._clock = clock
        self._needs_changed = needs_changed
        self._pictures_came = pictures_came
        self._costs = CostsByClass()
        self.urgency = Urgency.CALM
        """Urgency of the running job. The loop resets it before each job."""
        self.preempted = self.lost = 0
        """How often opportunistic work was preempted, and how many samples were shed."""

    def enqueue(self, stream: WorkerStream, unit: AccessUnit) -> None:
        """Queues a stream's next access unit. Drops and counts what is over the limits of the queue.

        Raises LimitExceeded for a unit over its bound: a publisher could blind the gate with such units.
        """
        limits = self._settings
        if len(unit.data) > limits.max_access_unit_bytes:
            self._count(stream, DegradedReason.ACCESS_UNIT_TOO_LARGE)
            raise LimitExceeded("access_unit", limits.max_access_unit_bytes, len(unit.data), "bytes")
        full = len(stream.units) >= limits.max_queue_units
        if full or stream.queued_bytes + len(unit.data) > limits.max_queue_bytes:
            self._count(stream, DegradedReason.QUEUE_FULL, len(stream.units))
            stream.units.clear()
            stream.queued_bytes = 0
            stream.skipping = True
            for sample in stream.samples:
                self._shed(stream, sample, DegradedReason.QUEUE_FULL)
            stream.samples.clear()
        stream.append(unit)
        # Checked at once: the end of its blindness may be judged before the next check of all streams.
        self._notices.count_if_blind(stream, unit.arrival_ms)
        if unit.keyframe:
            self._promote(stream, unit.arrival_ms)
        urgency = stream.urgency(in_burst=stream.in_burst(unit))
        begun = stream.bursting and not unit.keyframe
        due_ms = stream.due_ms(stream.pace(unit), urgency, begun=begun)
        self._push_unit(stream, stream.appended, due_ms, urgency)

    def finish(self, stream: WorkerStream) -> None:
        """Judges what is left of an ended stream, as far as it is in time.

        What is still in the decoder has its budget from the end on, because it could not be judged before.
        """
        assert stream.pipeline is not None
        for sample in stream.pipeline.drain():
            sample = replace(sample, arrival_ms=max(sample.arrival_ms, stream.ended_ms))
            if self._in_time(stream, sample):
                self._judge(stream, sample)
            else:
                self._shed(stream, sample, DegradedReason.LATE)

    def leave(self, stream: WorkerStream) -> None:
        """Counts what a closed stream leaves unjudged."""
        if stream.pipeline is None or stream.cut:
            return
        for sample in stream.samples:
            stream.pipeline.shed(sample, DegradedReason.CLOSED)
        if waiting := len(stream.samples):
            self._count(stream, DegradedReason.CLOSED, waiting)
        if waiting := len(stream.units):
            self._count(stream, DegradedReason.UNDECODED, waiting)
        stream.samples.clear()
        stream.units.clear()
        stream.queued_bytes = 0

    def _push_unit(self, stream: WorkerStream, number: int, due_ms: float, urgency: Urgency) -> None:
        """Queues the job for the stream's access unit of this number, from 1 on.

        It takes the units before that, too, one that costs something at a time. It does nothing once its unit
        is taken. If it took those that have come since, streams that wait for long would go before what has
        begun.
        """
        decode = self._decode_next if urgency is Urgency.OPPORTUNISTIC else self._decode_due

        def job(stream: WorkerStream) -> None:
            taken = stream.taken
            if taken < number:
                decode(stream)
                if taken < stream.taken < number:
                    self._jobs.push(stream.id, due_ms, job)

        self._jobs.push(stream.id, due_ms, job)

    def _decode_next(self, stream: WorkerStream) -> None:
        """Decodes up to the first unit that costs something."""
        while stream.units and stream.pipeline is not None and self._decode_one(stream, stream.pipeline):
            pass

    def _decode_due(self, stream: WorkerStream) -> None:
        """Decodes up to the first unit that is due. Opportunistic units must not delay it."""
        self._decode_next(stream)
        for _ in range(_MOST_IN_FRONT):
            if not stream.units or self.urgency is not Urgency.OPPORTUNISTIC:
                return
            self._judge_next(stream)
            self._decode_next(stream)
        if stream.units and stream.pipeline is not None and self.urgency is Urgency.OPPORTUNISTIC:
            self._preempt(stream.pipeline)
            self._decode_next(stream)

    def _preempt(self, pipeline: StreamPipeline) -> None:
        pipeline.preempt()
        self.preempted += 1
        self.urgency = Urgency.CALM

    def _decode_one(self, stream: WorkerStream, pipeline: StreamPipeline) -> bool:
        """Takes the next unit. Returns whether it was passed over at no cost."""
        unit = stream.units.popleft()
        stream.queued_bytes -= len(unit.data)
        if stream.asked_alert_ms:
            pipeline.ask_alert(stream.asked_alert_ms)
            stream.asked_alert_ms = 0
        now_ms = self._clock.monotonic_ms()
        late_ms = now_ms - unit.arrival_ms - stream.policy.budget_ms
        if unit.keyframe:
            stream.skipping = False
        in_burst = unit.keyframe or stream.bursting
        self.urgency = stream.urgency(in_burst=in_burst)
        if self.urgency is Urgency.OPPORTUNISTIC and (
            late_ms > -stream.policy.budget_ms / 2 or stream.budget.is_low(now_ms)
        ):
            # Preempted before it is late. Decoding it in vain would take time from due work.
            self._preempt(pipeline)
        # A look costs much and can wait a moment. A burst cannot.
        pipeline.let_look(late_ms <= -stream.policy.budget_ms / 2)
        wanted = in_burst or pipeline.wants_all
        if wanted and not stream.skipping and not self._can_pay(stream, unit, now_ms):
            stream.skipping = True
            self._count(stream, DegradedReason.OVER_BUDGET)
        if wanted:
            self._times.queue.observe(late_ms + stream.policy.budget_ms)
        if late_ms > 0 and wanted and not stream.skipping and not unit.deferred:
            # Decoding a late calm burst serves a sample that is shed. A later keyframe makes everything
            # before it worthless.
            calm_burst = pipeline.opportunistic or pipeline.needed_after_keyframe_ms is not None
            if any(later.keyframe for later in stream.units):
                stream.skipping = True
            elif calm_burst and not unit.keyframe and stream.bursting:
                stream.skipping = True
                self._count(stream, DegradedReason.LATE)
        if unit.keyframe and not stream.skipping and self._is_hopeless(stream, pipeline, unit):
            stream.skipping = True
            self._count(stream, DegradedReason.LATE)
        stream.bursting = in_burst and not stream.skipping
        if stream.skipping or stream.cut:
            pipeline.skip(unit)
            if not stream.cut:
                self._count(stream, DegradedReason.UNDECODED)
            return True
        begin_ms, begin_cpu_ms = self._clock.monotonic_ms(), self._clock.thread_ms()
        samples = _decoded(pipeline, unit)
        if pipeline.disorderly and not stream.disorder_said:
            stream.disorder_said = True
            self._count(stream, DegradedReason.TIMESTAMPS)
        if unit.keyframe:
            stream.burst_cost_ms = stream.burst_cpu_ms = 0.0
        stream.burst_cost_ms += self._clock.monotonic_ms() - begin_ms
        stream.burst_cpu_ms += self._clock.thread_ms() - begin_cpu_ms
        if samples and stream.bursting:
            stream.learn_sample_cost()
            self._costs.add_burst(stream.burst_cost_ms, stream.sample_cpu_ms, self._clock.monotonic_ms())
        self._take_samples(stream, samples)
        self._pictures_came(stream)
        if unit.keyframe and stream.bursting:
            self._go_on(stream)
        if not wanted and pipeline.needs_changed():  # the alert tier is over
            self._needs_changed(stream)
        return not wanted

    @staticmethod
    def _can_pay(stream: WorkerStream, unit: AccessUnit, now_ms: float) -> bool:
        """Returns whether the stream can pay for a unit. A begun sample may be finished."""
        if stream.bursting and not unit.keyframe:
            return stream.budget.may_finish(now_ms)
        return stream.budget.may_begin(now_ms)

    def _is_hopeless(self, stream: WorkerStream, pipeline: StreamPipeline, keyframe: AccessUnit) -> bool:
        """Returns whether a calm stream's sample would be late if its keyframe were decoded now."""
        if pipeline.wants_all:
            return False
        now = self._clock.monotonic_ms()
        begun_ms = (
            0.0
            if stream.promoted
            else sum(
                self._costs.of(other.sample_cpu_ms).whole_ms(now)
                for other in self._streams.values()
                if other.bursting and other is not stream and not other.budget.is_low(now)
            )
        )
        deadline_ms = keyframe.arrival_ms + stream.policy.budget_ms
        costs = self._costs.of(stream.sample_cpu_ms)
        return costs.is_hopeless(now, deadline_ms, pipeline.burst_ms, begun_ms)

    def _promote(self, stream: WorkerStream, now_ms: float) -> None:
        """Lets the sample of a keyframe that comes go first, if its stream has lost samples for longest.

        Its keyframes may always come while begun samples of others fill the time that there is. Where a
        sample is late even so, it is the turn of others.
        """
        if stream.promoted:
            stream.lost_ms = now_ms
        since_ms = self._unlucky_since_ms(stream, now_ms)
        stream.promoted = since_ms is not None and all(
            (other_ms := self._unlucky_since_ms(other, now_ms)) is None or other_ms >= since_ms
            for other in self._streams.values()
            if other is not stream
        )

    def _unlucky_since_ms(self, stream: WorkerStream, now_ms: float) -> float | None:
        """Returns since when a stream that pays for itself has lost samples. None where it has lost none, or
        sends no more."""
        sends = now_ms - stream.unit_ms <= stream.policy.tiers.blind_limit_ms
        waits = sends and not stream.cut and not stream.budget.is_low(now_ms)
        return stream.lost_ms if waits else None

    def _go_on(self, stream: WorkerStream) -> None:
        """Moves the queued units of a begun sample ahead of other streams' units."""
        for number, unit in enumerate(stream.units, stream.taken + 1):
            if unit.keyframe or not stream.in_burst(unit):
                return
            due_ms = stream.due_ms(unit.arrival_ms, stream.urgency(in_burst=True), begun=True)
            self._push_unit(stream, number, due_ms, Urgency.CALM)

    def _take_samples(self, stream: WorkerStream, samples: tuple[Sample, ...]) -> None:
        for sample in samples:
            if len(stream.samples) >= self._settings.max_pending_samples:
                self._shed(stream, stream.samples.popleft(), DegradedReason.SUPERSEDED)
            urgency = stream.urgency(in_burst=stream.bursting)
            if urgency is Urgency.OPPORTUNISTIC:
                sample = replace(sample, opportunistic=True)
            stream.samples.append(sample)
            stream.bursting = False
            # A ready sample goes before more decoding of what arrived with it.
            due_ms = stream.due_ms(sample.arrival_ms, urgency, begun=True) - _JUDGE_FIRST_MS
            self._jobs.push(stream.id, due_ms, self._judge_next)
        self._notices.say(stream, self._clock.monotonic_ms())

    def _judge_next(self, stream: WorkerStream) -> None:
        if not stream.samples or stream.cut:
            return
        sample = stream.samples.popleft()
        if not self._in_time(stream, sample):
            self._shed(
                stream, sample, DegradedReason.GAVE_WAY if sample.opportunistic else DegradedReason.LATE
            )
            return
        if sample.opportunistic:
            self.urgency = Urgency.OPPORTUNISTIC
        self._judge(stream, sample)

    def _in_time(self, stream: WorkerStream, sample: Sample) -> bool:
        deadline_ms = sample.arrival_ms + stream.policy.budget_ms
        return self._costs.of(stream.sample_cpu_ms).in_time(self._clock.monotonic_ms(), deadline_ms)

    def _judge(self, stream: WorkerStream, sample: Sample) -> None:
        assert stream.pipeline is not None
        start = self._clock.monotonic_ms()
        judgement = stream.pipeline.judge(sample)
        now = self._clock.monotonic_ms()
        stream.judged_at(now)
        self._costs.of(stream.sample_cpu_ms).judge.add_cost(now - start, now)
        self.say(stream, judgement, sample.arrival_ms)
        if judgement.tier_changed:
            self._needs_changed(stream)

    def say(
        self, stream: WorkerStream, judgement: Judgement, arrival_ms: float, *, by_witness: bool = False
    ) -> None:
        """Tells the supervisor of a judgement."""
        verdict = judgement.verdict
        stream.cleared_pts_ms = max(stream.cleared_pts_ms, verdict.cleared_pts_ms)
        stream.cut = verdict.action is Action.CUT and not verdict.shadow
        self._send(
            worker_pb2.FromWorker(
                judged=worker_pb2.Judged(
                    stream_id=stream.id,
                    verdict=verdict_to_proto(verdict),
                    cleared_pts_ms=stream.cleared_pts_ms,
                    tier=tier_to_proto(judgement.tier),
                    score=judgement.score,
                    arrival_ms=arrival_ms,
                    judged_ms=self._clock.monotonic_ms(),
                    shadow=verdict.shadow,
                    trace=None if verdict.action is Action.PASS else _trace(judgement.passed),
                    going_on=[signal_to_proto(signal) for signal in judgement.going_on],
                    calm_views=[
                        worker_pb2.CalmView(
                            bits=view.bits,
                            pts_ms=view.pts_ms,
                            unseen_ms=view.unseen_ms,
                            not_passed=not view.passed,
                        )
                        for view in judgement.calm_views
                    ],
                    by_witness=by_witness,
                )
            )
        )

    # what was not judged

    def _shed(self, stream: WorkerStream, sample: Sample, reason: DegradedReason) -> None:
        assert stream.pipeline is not None
        stream.pipeline.shed(sample, reason)
        self.lost += 1
        self._count(stream, reason)

    def _count(self, stream: WorkerStream, reason: DegradedReason, count: int = 1) -> None:
        self._notices.count(stream, reason, self._clock.monotonic_ms(), count)


def _decoded(pipeline: StreamPipeline, unit: AccessUnit) -> tuple[Sample, ...]:
    """The samples that a unit completes. An error that nobody has foreseen is put down to the media, not to
    the gate: who publishes chooses the media."""
    try:
        return pipeline.decode(unit)
    except GateError:
        raise
    except Exception as error:
        log.exception("media cannot be decoded")
        raise BrokenMedia(f"{type(error).__name__}: {error}") from error


def _trace(passed: StageTimes) -> worker_pb2.Trace:
    return worker_pb2.Trace(**asdict(passed))
