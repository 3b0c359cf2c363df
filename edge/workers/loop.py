"""The worker's one loop: runs the job with the earliest deadline, over all of its streams.

Decoding, judging and all state belong to the loop's thread. Other threads only load models and banks, and
write evidence.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Final

import structlog

from edge.clock import Clock
from edge.contract.gate import audio_from_proto, tier_change
from edge.contract.gen import worker_pb2
from edge.detect import Detector
from edge.detect.audio.audio_model import AudioModel
from edge.detect.loaded_pack import LoadedPack
from edge.detect.sight.frame_model import FrameModel
from edge.domain import Codec, StreamId
from edge.errors import GateError, LimitExceeded, UnsupportedCodec
from edge.match import Matcher
from edge.policy import parse_policy
from edge.reasons import CloseReason
from edge.stream import FrameSizeLimit, RiskFactors, StreamPipeline
from edge.telemetry.distributions import Distributions
from edge.workers.audio_jobs import AudioJobs
from edge.workers.banks import CHECK_MS, WorkerBanks
from edge.workers.closing import Closing
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.deadline_queue import DeadlineQueue
from edge.workers.decoding_budget import DecodingBudget, Standing
from edge.workers.degradation_reports import DegradationReports
from edge.workers.evidence_writer import EvidenceWriter
from edge.workers.frame_jobs import FrameJobs
from edge.workers.idle_capacity import IdleCapacity
from edge.workers.inbox import Command, Inbox, SupervisorGone, name_of, stream_of
from edge.workers.ipc_framing import PushedUnit
from edge.workers.memory import GIVE_BACK_MS, give_back, resident_bytes
from edge.workers.models import ModelArrived, WorkerModels
from edge.workers.settings import WorkerSettings
from edge.workers.stalls import Stalls
from edge.workers.video_jobs import VideoJobs
from edge.workers.worker_stream import Urgency, WorkerStream

_CHECK_STREAMS_MS: Final = 250.0
_REST_SHARE: Final = 0.8
"""Share of the blind limit without media after which the loop asks the caller for the whole GOP."""
_END_BUDGETS: Final = 2.0
"""Budgets that remain to judge an ended stream. What is judged later is late anyhow."""
_SAY_OVER_MS: Final = 1000.0
"""Interval of reports of a stream over its decoding budget: a worker for it may need time to start."""

log = structlog.get_logger(__name__)


class WorkerLoop:
    """Owns the streams of one worker process."""

    def __init__(
        self,
        settings: WorkerSettings,
        detector: Detector,
        matcher: Matcher,
        send: Callable[[worker_pb2.FromWorker], None],
        current: CurrentStreamPage,
        clock: Clock,
        connection: socket.socket | None = None,
        audio: AudioModel | None = None,
        sight: FrameModel | None = None,
    ) -> None:
        """``connection`` is the socket that the supervisor's messages come from. ``audio`` and ``sight`` are
        the audio model and the frame model beside the detector."""
        self._settings = settings
        self._detector = detector
        self._matcher = matcher
        self._banks = WorkerBanks(matcher, clock)
        self._send = send
        self._current = current
        self._clock = clock
        self._streams: dict[str, WorkerStream] = {}
        self._jobs: DeadlineQueue[Callable[[WorkerStream], None]] = DeadlineQueue()
        self.inbox = Inbox(settings.inbox_commands, connection)
        self._models = WorkerModels(self.inbox.put, current.loading_model)
        self._running = True
        self._busy_ms = self._voluntary_ms = 0.0
        self._idle_capacity = IdleCapacity(settings.spare_load)
        self._times = Distributions()
        self._decoded = self._judged = 0
        self._evidence = EvidenceWriter(send, current, settings.evidence_min_free_mb * 2**20)
        self._stalls = Stalls(clock)
        self._notices = DegradationReports(send)
        self._video = VideoJobs(
            settings,
            self._streams,
            self._jobs,
            self._notices,
            self._times,
            send,
            clock,
            needs_changed=self._say_tier,
            pictures_came=lambda stream: self._pictures.queue(stream),
        )
        say = functools.partial(self._video.say, by_witness=True)
        self._audio = AudioJobs(matcher, self._jobs, self._notices, clock, say)
        self._audio.model = audio
        self._pictures = FrameJobs(self._jobs, self._notices, self._times, clock, say)
        self._pictures.model = sight
        self._streams_checked_ms = self._tidied_ms = clock.monotonic_ms()

    def run(self) -> None:
        """Runs until told to stop or until the supervisor is gone."""
        self._send(
            worker_pb2.FromWorker(
                ready=worker_pb2.Ready(model_digest=self._detector.digest, bank_digest=self._matcher.digest)
            )
        )
        while self._running:
            self._stalls.begin()
            self._take_commands()
            for housekeeping in (self._banks.check, self._check_streams, self._share_idle_capacity):
                self._keep_house(housekeeping)
            job = self._jobs.pop()
            if job is None:
                self._tidy()
                continue
            stream = self._streams.get(job[0])
            if stream is None:
                continue
            self._current.enter(stream.id)
            self._video.urgency = Urgency.CALM
            start_ms, start_cpu_ms = self._clock.monotonic_ms(), self._clock.thread_ms()
            try:
                job[2](stream)
            except GateError as error:
                self._close(stream, Closing.by(error, retryable=False))
            except Exception as error:  # one stream's fault must not end the others
                log.exception("job failed", stream_id=stream.id)
                self._close(stream, Closing.by(error, retryable=False))
            finally:
                now_ms = self._clock.monotonic_ms()
                cost_ms = self._clock.thread_ms() - start_cpu_ms
                stream.budget.spend(cost_ms, now_ms, stream.policy.budget_ms)
                passed_ms = now_ms - start_ms
                self._busy_ms += passed_ms
                if self._video.urgency is Urgency.OPPORTUNISTIC:
                    self._voluntary_ms += passed_ms
                self._current.leave()
        for stream in list(self._streams.values()):
            self._drop(stream)
        self._evidence.finish()

    def _keep_house(self, housekeeping: Callable[[], None]) -> None:
        """Runs a housekeeping task between two jobs. Its failure ends no stream."""
        try:
            housekeeping()
        except Exception:
            log.exception("housekeeping failed", what=housekeeping.__qualname__)
        self._stalls.lap(lambda: housekeeping.__qualname__)

    def _tidy(self) -> None:
        """Frees memory while no job is due."""
        now = self._clock.monotonic_ms()
        if now - self._tidied_ms >= GIVE_BACK_MS:
            self._tidied_ms = now
            give_back()

    # commands

    def _take_commands(self) -> None:
        wait_ms = 0.0 if len(self._jobs) else CHECK_MS
        for _ in range(self._settings.inbox_commands):
            command = self.inbox.get(wait_ms)
            self._stalls.lap(lambda: "waiting for a command", wait_ms)
            if command is None:
                return
            wait_ms = 0.0
            try:
                self._obey(command)
            except Exception as error:  # one stream's fault must not end the others
                self._not_obeyed(command, error)
            self._stalls.lap(functools.partial(name_of, command))
            if not self._running:
                return

    def _not_obeyed(self, command: Command, error: Exception) -> None:
        """Closes the stream that the failed command names, if it names one."""
        ident, opening = stream_of(command)
        stream = self._streams.get(ident)
        log.error(
            "command failed",
            command=name_of(command),
            stream_id=ident,
            error=str(error),
            exc_info=None if isinstance(error, GateError) else error,
        )
        closing = Closing.by(error, retryable=True)
        if stream is not None:
            self._close(stream, closing)
        elif opening:
            self._say_closed(ident, opening, closing)

    def _obey(self, command: Command) -> None:
        match command:
            case PushedUnit():
                if (stream := self._streams.get(command.stream_id)) is not None:
                    self._video.enqueue(stream, command.unit)
            case ModelArrived():
                self._model_arrived(command)
            case SupervisorGone():
                self._running = False
            case worker_pb2.ToWorker():
                self._obey_supervisor(command)

    def _obey_supervisor(self, command: worker_pb2.ToWorker) -> None:
        match command.WhichOneof("command"):
            case "ask_alert":
                if (stream := self._streams.get(command.ask_alert.stream_id)) is not None:
                    stream.asked_alert_ms = command.ask_alert.hold_ms
            case "set_risk_factors":
                if (stream := self._streams.get(command.set_risk_factors.stream_id)) is not None:
                    self._set_risk_factors(stream, command.set_risk_factors.risk_factors)
            case "pushed_audio":
                came = command.pushed_audio
                if (stream := self._streams.get(came.stream_id)) is not None:
                    self._audio.take(stream, audio_from_proto(came.audio), came.arrival_ms)
            case "evidence_media":
                self._evidence.show(command.evidence_media)
            case "open_push":
                self._open_push(command.open_push)
            case "close":
                if (stream := self._streams.get(command.close.stream_id)) is not None:
                    if command.close.drain:
                        self._end(stream)
                    else:
                        self._close(stream, Closing(CloseReason.DETACHED))
            case "set_policy":
                if (stream := self._streams.get(command.set_policy.stream_id)) is not None:
                    stream.policy = parse_policy(command.set_policy.policy_json)
                    stream.budget.set_policy(stream.policy.decoding)
                    if stream.pipeline is not None:
                        stream.pipeline.set_policy(stream.policy)
                    self._pictures.follow(stream)
            case "save_evidence":
                stream = self._streams.get(command.save_evidence.stream_id)
                self._evidence.save(command.save_evidence, stream)
            case "load_model":
                try:
                    self._models.load(command.load_model)
                except RuntimeError as error:  # no thread can be started for it
                    load = command.load_model
                    self._model_arrived(ModelArrived(load.swap, None, str(error), load.use))
            case "use_model":
                pack = self._models.take(command.use_model.swap)
                if pack is not None and not command.use_model.forget:
                    self._use_pack(pack, command.use_model.swap)
            case "reload_banks":
                self._banks.ask(anew=True)
            case "ping":
                self._answer_ping(command.ping.sequence)
            case "shutdown":
                self._running = False

    def _set_risk_factors(self, stream: WorkerStream, said: worker_pb2.RiskFactors) -> None:
        stream.risk_factors = RiskFactors(said.clean_ms, said.struck, said.viewers)
        if stream.pipeline is not None:
            stream.pipeline.set_risk_factors(stream.risk_factors)

    def _answer_ping(self, sequence: int) -> None:
        running = [s.pipeline.counters for s in self._streams.values() if s.pipeline is not None]
        self._send(
            worker_pb2.FromWorker(
                pong=worker_pb2.Pong(
                    sequence=sequence,
                    busy_ms=self._busy_ms,
                    decoded=self._decoded + sum(counters.decoded for counters in running),
                    judged=self._judged + sum(counters.judged for counters in running),
                    resident_bytes=resident_bytes(),
                    voluntary_ms=self._voluntary_ms,
                    gave_way=self._video.preempted,
                    jobs=len(self._jobs),
                    distributions=[
                        worker_pb2.Distribution(name=name, counts=counts, sum_ms=sum_ms)
                        for name, counts, sum_ms in self._times.take()
                    ],
                    **self._tiers(),
                    bank_searches_cut_short=self._banks.cut_short,
                    bank_hashes=self._banks.hashes,
                    banks_unreadable=self._banks.unreadable,
                    bank_searches_failed=self._banks.searches_failed,
                )
            )
        )

    def _tiers(self) -> dict[str, int]:
        """Returns the number of streams in each tier."""
        counts = {"calm_streams": 0, "alert_streams": 0, "starting_streams": 0}
        for stream in self._streams.values():
            if stream.pipeline is not None and not stream.cut:
                alert, starting = stream.pipeline.alert_due, stream.pipeline.starting
                counts["alert_streams" if alert else "starting_streams" if starting else "calm_streams"] += 1
        return counts

    def _model_arrived(self, model: ModelArrived) -> None:
        if model.use and model.pack is not None:
            self._use_pack(model.pack, model.swap)
        else:
            self._models.keep(model)
        answer = worker_pb2.ModelLoaded(swap=model.swap, error=model.error, use=model.use)
        self._send(worker_pb2.FromWorker(model_loaded=answer))

    def _use_pack(self, pack: LoadedPack, swap: int) -> None:
        """Switches to other models. New streams get them at once, running ones between two of their samples,
        and between two messages of their audio."""
        if not self._models.used(swap):
            return
        detector = self._detector = pack.detector
        self._audio.model, self._pictures.model = pack.audio, pack.sight
        for stream in self._streams.values():
            if stream.pipeline is not None:
                stream.pipeline.set_detector(detector)
            self._pictures.follow(stream)

    def _share_idle_capacity(self) -> None:
        """Samples all calm streams more densely while the worker is idle."""
        now = self._clock.monotonic_ms()
        if not self._idle_capacity.due(now):
            return
        preempted = self._video.preempted + self._video.lost
        if self._idle_capacity.update(now, self._busy_ms, self._voluntary_ms, preempted):
            for stream in self._streams.values():
                if stream.pipeline is not None and stream.pipeline.spare(self._idle_capacity.ms):
                    self._say_tier(stream)

    def _check_streams(self) -> None:
        """Checks each stream: whether the gate is blind to it, wants its audio, or should close it."""
        now = self._clock.monotonic_ms()
        if now - self._streams_checked_ms < _CHECK_STREAMS_MS:
            return
        self._streams_checked_ms = now
        heavy = sum(stream.budget.heavy for stream in self._streams.values())
        for stream in list(self._streams.values()):
            if stream.budget.heavy:
                stream.budget.share_with(heavy)
            try:
                self._check_stream(stream, now)
            except Exception as error:  # one stream's fault must not end the others
                log.exception("check failed", stream_id=stream.id)
                self._close(stream, Closing.by(error, retryable=True))

    def _check_stream(self, stream: WorkerStream, now: float) -> None:
        if stream.ended and now - stream.ended_ms > _END_BUDGETS * stream.policy.budget_ms:
            self._close(stream, Closing(CloseReason.END))
        if stream.cut:
            return
        self._check_budget(stream, now)
        self._audio.check(stream, now)
        self._pictures.check(stream, now)
        if stream.pipeline is not None and stream.audio_wanted != (wanted := self._audio.wanted(stream)):
            stream.audio_wanted = wanted
            self._say_tier(stream)
        if not stream.blind:
            self._ask_rest_of_gop(stream, now)
            self._notices.count_if_blind(stream, now)
        elif stream.has_gap and not stream.budget.over:  # else it would begin the GOP anew, unpaid
            waits_ms = stream.unit_ms - stream.keyframe_ms
            detail = f"media is missing, and no keyframe has come for {waits_ms:.0f} ms"
            self._close(stream, Closing(CloseReason.GAP, detail, retryable=True))

    def _check_budget(self, stream: WorkerStream, now: float) -> None:
        """Tells the supervisor how the stream stands with its decoding budget, where that has changed."""
        standing = stream.budget.assess(now, blind=stream.blind)
        said, said_ms = stream.budget_said
        repeated = standing is said and (standing is not Standing.OVER or now - said_ms < _SAY_OVER_MS)
        if repeated or stream.pipeline is None:
            return
        stream.budget_said = (standing, now)
        report = worker_pb2.BudgetReport(
            stream_id=stream.id,
            opening=stream.opening,
            standing=standing.value,
            share=stream.budget.mean_share,
        )
        self._send(worker_pb2.FromWorker(budget=report))

    def _ask_rest_of_gop(self, stream: WorkerStream, now: float) -> None:
        """Asks the caller for the rest of a GOP that lasts too long.

        A caller that sends only what a calm stream needs cannot know when to send more. The broadcaster
        decides where keyframes are.
        """
        waits_ms = now - max(stream.judged_ms, stream.unit_ms)
        too_long = waits_ms > _REST_SHARE * stream.policy.tiers.blind_limit_ms
        if stream.pipeline is not None and too_long and stream.pipeline.ask_rest():
            self._say_tier(stream)

    # opening and closing

    def _open_push(self, command: worker_pb2.OpenPush) -> None:
        stream = self._new_stream(command)

        def start(stream: WorkerStream) -> None:
            self._start_pipeline(stream, _codec(command.codec), command.extradata)

        self._jobs.push(stream.id, float("-inf"), start)

    def _new_stream(self, opened: worker_pb2.OpenPush) -> WorkerStream:
        if (old := self._streams.get(opened.stream_id)) is not None:
            self._video.leave(old)
            self._notices.flush(old)
            self._drop(old)
        policy = parse_policy(opened.policy_json)
        stream = WorkerStream(
            opened.stream_id, opened.opening, policy, opened.alert, opened.calm, opened.seed or None
        )
        self._set_risk_factors(stream, opened.risk_factors)
        stream.judged_ms = now = self._clock.monotonic_ms()
        stream.budget = DecodingBudget(policy.decoding, now, heavy=opened.heavy)
        self._streams[stream.id] = stream
        return stream

    def _start_pipeline(self, stream: WorkerStream, codec: Codec, extradata: bytes) -> None:
        """Creates the pipeline of a stream. Runs as a job, because a decoder may crash on extradata as on
        media."""
        if len(extradata) > self._settings.max_extradata_bytes:
            raise LimitExceeded("extradata", self._settings.max_extradata_bytes, len(extradata), "bytes")
        stream.codec, stream.extradata = codec, extradata
        stream.pipeline = StreamPipeline(
            StreamId(stream.id),
            codec,
            extradata,
            stream.policy,
            self._detector,
            self._matcher,
            self._clock,
            alert=stream.alert,
            calm=stream.calm,
            times=self._times,
            largest=FrameSizeLimit(
                self._settings.max_picture_long_edge, self._settings.max_picture_short_edge
            ),
            seed=stream.seed,
        )
        stream.pipeline.set_risk_factors(stream.risk_factors)
        stream.pipeline.spare(self._idle_capacity.ms)
        stream.audio_wanted = self._audio.wanted(stream)
        self._pictures.follow(stream)
        self._said_opened(stream)

    def _said_opened(self, stream: WorkerStream) -> None:
        assert stream.codec is not None
        self._send(
            worker_pb2.FromWorker(
                source_opened=worker_pb2.SourceOpened(stream_id=stream.id, codec=stream.codec.value)
            )
        )
        self._say_tier(stream)

    def _say_tier(self, stream: WorkerStream) -> None:
        assert stream.pipeline is not None
        self._send(
            worker_pb2.FromWorker(
                tier_changed=worker_pb2.TierChanged(
                    stream_id=stream.id,
                    tier=tier_change(
                        stream.pipeline.tier,
                        stream.pipeline.needed_after_keyframe_ms,
                        audio_wanted=stream.audio_wanted,
                    ),
                    cleared_pts_ms=stream.cleared_pts_ms,
                )
            )
        )

    def _end(self, stream: WorkerStream) -> None:
        """Judges what is queued, then closes the stream."""
        if not stream.ended:
            stream.ended, stream.ended_ms = True, self._clock.monotonic_ms()
            # Runs after the last of the stream's media. The check of all streams closes it where time runs
            # out.
            self._jobs.push(stream.id, stream.ended_ms + stream.policy.budget_ms, self._drain)

    def _drain(self, stream: WorkerStream) -> None:
        if stream.pipeline is not None and not stream.cut:
            self._audio.finish(stream)
            self._video.finish(stream)
            self._pictures.finish(stream)
        self._close(stream, Closing(CloseReason.END))

    def _close(self, stream: WorkerStream, closing: Closing) -> None:
        self._video.leave(stream)
        self._notices.flush(stream)
        self._drop(stream)
        self._say_closed(stream.id, stream.opening, closing)

    def _say_closed(self, ident: str, opening: int, closing: Closing) -> None:
        self._send(worker_pb2.FromWorker(closed=closing.to_proto(ident, opening)))

    def _drop(self, stream: WorkerStream) -> None:
        self._jobs.drop(stream.id)
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]
            self._evidence.gone(stream)
            if stream.pipeline is not None:
                self._decoded += stream.pipeline.counters.decoded
                self._judged += stream.pipeline.counters.judged


def _codec(name: str) -> Codec:
    try:
        return Codec(name)
    except ValueError:
        known = ", ".join(codec.value for codec in Codec)
        raise UnsupportedCodec("open.codec", f"{name!r} is none of {known}") from None
