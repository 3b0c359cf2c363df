"""Routes each stream's media from its call or hook to the worker that owns it, and the answers back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import structlog

from edge.background import BackgroundTasks, task_health
from edge.backoff import backoff_ms
from edge.config import LimitsSection
from edge.contract.gate import access_unit_to_proto, audio_from_proto, audio_to_proto, needed_from_proto
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import MAX_AUDIO_BYTES, MAX_AUDIO_UNITS, AccessUnit, Action, Audio, StreamId, Tier
from edge.errors import (
    AlreadyExists,
    BrokenMedia,
    CapacityExceeded,
    Conflict,
    Fault,
    GateError,
    InvalidInput,
    LedgerUnavailable,
    LimitExceeded,
    NotFound,
    NoVideo,
    OverBudget,
    SourceStalled,
    WorkerLost,
)
from edge.ladder import counts
from edge.ledger.subjects import struck_name
from edge.pullers.pull import Pull
from edge.reasons import CloseReason, DegradedReason, EndReason, VerdictReason
from edge.stream import JUMP_HOLD_MS
from edge.supervise.authority import Caller
from edge.supervise.clean_records import CleanRecords, viewers_of
from edge.supervise.context import Context
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.kept_media import KeptMedia, size_of
from edge.supervise.push_buffer import PushBuffer
from edge.supervise.registry import LiveStream
from edge.supervise.response_queue import ResponseQueue
from edge.supervise.stream_life import State
from edge.telemetry.records import StreamClosed, StreamMoved, StreamOver, WatchingFailed, WorkersRestarted
from edge.workers.closing import error_of
from edge.workers.decoding_budget import Standing

_PULLS_TO_ALARM = 6
_PULL_PAUSE_MS = 5_000
_PULL_RETRY_MS = 600
_TURN_MS = 150.0
"""After a worker is lost: longest wait for one stream's verdict before the next stream is reopened."""
_MOST_MOVES = 4
"""Moves between ordinary workers and the one for heavy streams after which a stream stays there."""
_DRAIN_S = 1.0
"""How long a worker still judges the rest of a pulled stream after its publisher is gone."""
MAX_CODEC_CHARS = 16
_SHOWN_BYTES = 4 * 1024 * 1024
"""Approximate size of one message of media for evidence."""

log = structlog.get_logger(__name__)


class StreamRouter:
    """Opens, feeds and closes streams in the workers. Reopens them after a worker is lost."""

    def __init__(
        self,
        context: Context,
        failure_response: FailureResponse,
        tasks: BackgroundTasks,
        cut_heard: Callable[[LiveStream], None],
    ) -> None:
        """``cut_heard`` is called when a call begins to watch a stream that is being cut."""
        self._context = context
        self._pool = context.pool
        self._pullers = context.pullers
        self._failure_response = failure_response
        self._tasks = tasks
        self._cut_heard = cut_heard
        self._restarts = 0
        self._clean = CleanRecords()

    @property
    def _limits(self) -> LimitsSection:
        """They may change while the gate runs."""
        return self._context.settings.limits

    # Opening.

    def open_push(self, stream_id: str, codec: str, extradata: bytes, caller: Caller) -> LiveStream:
        """Opens a push stream that was admitted. One that is being cut gets its CUT as the answer."""
        stream, client = self._watchable(stream_id, caller), caller.client
        if stream.cutting:
            return self._answer_cut(stream, client)
        stream.url = None
        if (refusal := self._take_source(stream, codec, extradata)) is not None:
            # The call gets its answers, and no worker has the stream.
            self._give_call(stream, client)
            self._failure_response.unwatchable(stream, refusal)
            return stream
        self._pool.assign(stream.id)
        self._open_in_worker(stream, alert=False)
        self._watch(stream, client)
        self._tasks.start(self._alert_if_struck(stream))
        return stream

    def _take_source(self, stream: LiveStream, codec: str, extradata: bytes) -> LimitExceeded | None:
        """Takes the decoder configuration of a source, which has opened. Returns an error if it is too
        large."""
        limit = self._limits.max_extradata_bytes
        if len(extradata) > limit:
            return LimitExceeded("open.extradata", limit, len(extradata), "bytes")
        if len(codec) > MAX_CODEC_CHARS:
            return LimitExceeded("open.codec", MAX_CODEC_CHARS, len(codec), "characters")
        stream.codec, stream.extradata = codec, extradata
        policy = self._context.in_force.for_publish(stream.publish)
        stream.media = PushBuffer(
            policy.tiers, policy.evidence, self._limits.max_lead_ms, before=stream.media
        )
        stream.source_opened = True
        stream.cleared_pts_ms, stream.cleared_units, stream.stamps_shift_ms = -1, 0, 0
        stream.fed_ms = self._context.clock.monotonic_ms()
        return None

    def push(self, stream: LiveStream, unit: gate_pb2.AccessUnit | AccessUnit) -> bool:
        """Passes on an access unit. Returns whether its source should wait for ``drained``.

        A unit over the limit ends the stream.
        """
        media = stream.media
        watched = stream.life.watched and not self._context.media_over
        if media is None or not (watched or _is_recorded(stream)):
            return False
        limit = self._limits.max_access_unit_bytes
        data = unit.data
        if stream.cutting:
            if len(data) <= limit:  # It is evidence, and no worker looks at it.
                now = self._context.clock.monotonic_ms()
                media.add_unit(AccessUnit(unit.pts_ms, unit.dts_ms, unit.keyframe, data, now))
            return media.ahead_ms > 0
        if len(data) > limit:
            self._unwatchable(stream, LimitExceeded("access_unit.data", limit, len(data), "bytes"))
            return False
        stream.fed_ms = now = self._context.clock.monotonic_ms()
        due = media.add_unit(AccessUnit(unit.pts_ms, unit.dts_ms, unit.keyframe, data, now))
        if fault := media.new_fault(now):
            self._failure_response.wrong_timestamps(stream, fault)
        if due.unit is None and not due.deferred:
            return media.ahead_ms > 0
        with contextlib.suppress(WorkerLost):  # ``streams_lost`` opens it again.
            if due.jump:
                self._ask_alert(stream, JUMP_HOLD_MS)
            self._send_units(stream.id, due.deferred)
            if due.unit is not None:
                self._send_units(stream.id, (due.unit,))
        return media.ahead_ms > 0 or self._pool.is_slow(stream.id)

    def push_audio(self, stream: LiveStream, message: gate_pb2.AudioUnits) -> bool:
        """Passes on audio of a stream, or drops it while the worker is slow. Returns as ``push`` does.

        A message over the bounds ends the stream's audio, but not its video.
        """
        now = self._context.clock.monotonic_ms()
        stream.has_audio = True
        if stream.media is not None and stream.media.has_video:
            stream.fed_ms = now
        if not stream.audio_off and (wrong := _over_bounds(message)):
            stream.audio_off = True
            self._failure_response.degraded(stream, DegradedReason.AUDIO_TOO_LARGE, detail=wrong)
        if stream.media is None or self._context.media_over:
            return False
        if stream.cutting and not stream.audio_off:  # It is evidence, and no worker looks at it.
            stream.media.add_audio(audio_from_proto(message))
        if not stream.life.watched:
            return False
        # Sound has no say in how fast video is read, but a flood of messages has.
        stream.media.audio_clock.advance(0, 0, now, message.ByteSize())
        if not stream.audio_off and not self._pool.is_slow(stream.id):
            audio = audio_to_proto(stream.media.add_audio(audio_from_proto(message)))
            command = worker_pb2.PushedAudio(stream_id=stream.id, audio=audio, arrival_ms=now)
            with contextlib.suppress(WorkerLost):  # The next message goes to another worker.
                self._pool.send(stream.id, worker_pb2.ToWorker(pushed_audio=command))
        return stream.media.ahead_ms > 0

    async def drained(self, stream: LiveStream) -> None:
        """Waits until the worker takes more, and until the media's own time has come. This puts
        back-pressure on the source."""
        if stream.media is not None and stream.media.ahead_ms > 0:
            await asyncio.sleep(stream.media.ahead_ms / 1000)
        await self._pool.drained(stream.id)

    def tier_changed(self, stream: LiveStream, tier: gate_pb2.TierChange) -> None:
        """Tells the source what is needed. Sends the media that the worker lacks when it needs more of each
        GOP."""
        if stream.pull is not None:
            stream.pull.want_audio(tier.audio_wanted)
        if stream.media is not None:
            with contextlib.suppress(WorkerLost):
                self._send_units(stream.id, stream.media.change(needed_from_proto(tier)))

    def _send_units(self, stream_id: str, units: Iterable[AccessUnit]) -> None:
        for unit in units:
            self._pool.send_unit(stream_id, unit)

    async def send_evidence_media(self, stream: LiveStream, kept: KeptMedia | None = None) -> None:
        """Sends media of a stream to its worker, before evidence is requested. None: all that is kept.

        Much media takes a while, so other tasks run between the messages.
        """
        for _ in self._evidence_messages(stream, kept):
            await asyncio.sleep(0)
            if kept is not None:
                await self._pool.drained(stream.id)

    def _evidence_messages(self, stream: LiveStream, kept: KeptMedia | None = None) -> Iterator[None]:
        """Sends the media. Yields after each message."""
        if kept is None:
            kept = KeptMedia() if stream.media is None else stream.media.kept()
        message = worker_pb2.EvidenceMedia(
            stream_id=stream.id, codec=stream.codec, extradata=stream.extradata, first=True
        )
        size = 0
        with contextlib.suppress(WorkerLost):
            media: tuple[AccessUnit | Audio, ...] = (*kept.units, *kept.audio)
            for one in media:
                if isinstance(one, Audio):
                    message.audio.append(audio_to_proto(one))
                    size += size_of(one)
                else:
                    message.units.append(access_unit_to_proto(one))
                    size += len(one.data)
                if size >= _SHOWN_BYTES:
                    self._pool.send(stream.id, worker_pb2.ToWorker(evidence_media=message))
                    message, size = worker_pb2.EvidenceMedia(stream_id=stream.id), 0
                    yield
            if message.units or message.audio:
                self._pool.send(stream.id, worker_pb2.ToWorker(evidence_media=message))

    def attach_call(self, stream_id: str, url: str, caller: Caller) -> LiveStream:
        """Pulls a stream for a caller. The verdicts go to its call. One that is being cut gets its CUT."""
        stream, client = self._watchable(stream_id, caller), caller.client
        if stream.cutting:
            return self._answer_cut(stream, client)
        self._pullers.check(url)
        stream.url = url
        self._open_pull(stream)
        self._watch(stream, client)
        return stream

    def attach(self, stream_id: StreamId, url: str) -> None:
        """Pulls a stream for a hook. Only enforcement reads the verdicts."""
        stream = self._context.registry.get(stream_id)
        if stream.cutting:
            raise NotFound("stream to attach", stream_id)
        if stream.life.in_worker or self._context.media_over:
            return
        self._pullers.check(url)
        stream.url = url
        self._open_pull(stream)
        self._watch(stream, client="", responses=False)

    def pull_anew(self, stream_id: StreamId) -> bool:
        """Replaces the connection of a stream that the gate pulls. Returns whether it had one."""
        stream = self._context.registry.find(stream_id)
        if stream is None or stream.url is None or not stream.life.watched:
            return False
        if stream.life.state is State.GONE or self._context.media_over:
            return False
        self._start_pull(stream, stream.url)
        return True

    def _answer_cut(self, stream: LiveStream, client: str) -> LiveStream:
        """A cut may come between Admit and Watch, or while a call is opened anew. No worker gets media."""
        told = stream.cut_answer
        responses = self._give_call(stream, client)
        if told is not None:
            responses.put(told)
        self._cut_heard(stream)
        return stream

    def _give_call(self, stream: LiveStream, client: str) -> ResponseQueue:
        """The call of a client begins to get the stream's answers."""
        stream.client, stream.responses = client, ResponseQueue(self._limits.max_answers)
        stream.was_watched = True
        return stream.responses

    def of_caller(self, stream_id: str, caller: Caller) -> LiveStream:
        """The stream, if the caller had it admitted. To others there is none: raises NotFound."""
        stream = self._context.registry.get(stream_id)
        if not self._context.authority.allows(stream.id, stream.admitted_by, caller):
            raise NotFound("stream", stream_id)
        return stream

    def _watchable(self, stream_id: str, caller: Caller) -> LiveStream:
        registry, client = self._context.registry, caller.client
        stream = self.of_caller(stream_id, caller)
        if stream.responses is not None:
            raise AlreadyExists(f"stream_id: {stream_id} is watched by another call")
        if stream.cutting:
            return stream
        if stream.life.state is State.GONE:
            raise NotFound("stream", stream_id)
        if self._context.media_over:
            raise CapacityExceeded("the gate is stopping")
        limit = self._limits.max_streams_per_client
        watched = registry.watched_by(client)
        if watched >= limit:
            raise CapacityExceeded(f"this client watches {watched} streams, the limit is {limit}")
        return stream

    def _watch(self, stream: LiveStream, client: str, *, responses: bool = True) -> None:
        if responses:
            self._give_call(stream, client)
        else:
            stream.client, stream.responses, stream.was_watched = client, None, True
        stream.life.opened()

    # Pulling: a puller passes media as the caller of Watch does.

    def _open_pull(self, stream: LiveStream) -> None:
        """Assigns the stream to a worker and begins to pull it. The worker opens it once the source has."""
        assert stream.url is not None
        self._pool.assign(stream.id)
        stream.source_opened = False
        self._start_pull(stream, stream.url)

    def _start_pull(self, stream: LiveStream, url: str) -> None:
        """Replaces the pull of a stream, if it has one, by a new one."""
        self._stop_pull(stream)
        stream.pull_error = None
        stream.pull = pull = self._pullers.pull(stream.id, url)
        self._tasks.start(self._read_pull(stream, pull))

    def _stop_pull(self, stream: LiveStream) -> None:
        """Nothing more is read: it could belong to the next publisher of that name."""
        pull, stream.pull = stream.pull, None
        if pull is not None:
            pull.stop()

    async def _read_pull(self, stream: LiveStream, pull: Pull) -> None:
        """Reads the media of one pull until its end, as the servicer reads a Watch call."""
        error: GateError | None = None
        try:
            while (event := await pull.next()) is not None:
                if stream.cutting and not (isinstance(event, AccessUnit) and _is_recorded(stream)):
                    self._stop_pull(stream)
                    return
                match event:
                    case AccessUnit():
                        if self.push(stream, event):
                            await self.drained(stream)
                    case gate_pb2.AudioUnits():
                        if self.push_audio(stream, event):
                            await self.drained(stream)
                    case worker_pb2.PullOpened():
                        self._pull_opened(stream, event)
        except GateError as raised:
            error = raised
        except Exception as raised:
            task_health().failed("StreamRouter._read_pull", raised, stream_id=stream.id)
            error = WorkerLost("the gate failed to read the pull")
        if stream.pull is pull:
            self._pull_ended(stream, error)

    def _pull_opened(self, stream: LiveStream, opened: worker_pb2.PullOpened) -> None:
        self._context.containment.note("puller", opened.contained)
        if (refusal := self._take_source(stream, opened.codec, opened.extradata)) is not None:
            self._source_ended(stream, refusal)
            return
        with contextlib.suppress(WorkerLost):  # ``streams_lost`` opens it again.
            self._open_in_worker(stream, alert=stream.tier is Tier.ALERT)
        self._tasks.start(self._alert_if_struck(stream))

    def _pull_ended(self, stream: LiveStream, error: GateError | None) -> None:
        """Handles the end of a pull that nobody here has stopped. The worker judges the rest."""
        self._stop_pull(stream)
        if not stream.life.watched:
            return
        stream.pull_error = error
        if not stream.source_opened:
            self._source_ended(stream, error)
        else:
            self._close_in_worker(stream, drain=True)

    async def _alert_if_struck(self, stream: LiveStream) -> None:
        """Starts a stream in tier alert if its broadcaster has recent strikes. The stream does not wait for
        this."""
        policy = self._context.in_force.for_publish(stream.publish)
        hold_ms = policy.tiers.struck_alert_ms
        if self._context.executor.down:
            return  # Many calls to a ledger that is away would delay noticing its return.
        try:
            strikes = await self._context.executor.call(
                self._context.ledger.strikes_of, struck_name(stream.publish)
            )
        except LedgerUnavailable:
            return  # The executor has reported it. The stream starts like any other.
        wall_ms = self._context.clock.wall_ms()
        if any(counts(strike, policy.ladder, wall_ms) for strike in strikes):
            stream.struck = True
            factors = worker_pb2.SetRiskFactors(stream_id=stream.id, risk_factors=self._risk_factors(stream))
            with contextlib.suppress(WorkerLost):
                self._pool.send(stream.id, worker_pb2.ToWorker(set_risk_factors=factors))
            if hold_ms:
                self._ask_alert(stream, hold_ms)

    def _risk_factors(self, stream: LiveStream) -> worker_pb2.RiskFactors:
        """What is known of a stream besides its media."""
        return worker_pb2.RiskFactors(
            clean_ms=self._clean.clean_ms(stream.publish) + self._watched_ms(stream),
            struck=stream.struck,
            viewers=viewers_of(stream.publish),
        )

    def _watched_ms(self, stream: LiveStream) -> int:
        since_ms = stream.watched_since_ms
        return 0 if since_ms is None else round(self._context.clock.monotonic_ms() - since_ms)

    def _ask_alert(self, stream: LiveStream, hold_ms: int) -> None:
        ask = worker_pb2.AskAlert(stream_id=stream.id, hold_ms=hold_ms)
        with contextlib.suppress(WorkerLost):  # ``streams_lost`` opens it again, in alert.
            self._pool.send(stream.id, worker_pb2.ToWorker(ask_alert=ask))

    def _open_in_worker(self, stream: LiveStream, *, alert: bool, calm: bool = False) -> None:
        policy_json = self._context.in_force.json_for(stream.publish)
        opening = worker_pb2.OpenPush(
            stream_id=stream.id,
            codec=stream.codec,
            extradata=stream.extradata,
            policy_json=policy_json,
            alert=alert,
            calm=calm,
            opening=stream.opening + 1,
            seed=stream.seed,
            heavy=self._pool.is_heavy(stream.id),
            risk_factors=self._risk_factors(stream),
        )
        self._pool.send(stream.id, worker_pb2.ToWorker(open_push=opening))
        stream.opening += 1
        stream.judged = False

    # Closing.

    def end_push(self, stream: LiveStream, reason: EndReason) -> None:
        """Ends the media of a push stream. The worker judges the rest."""
        log.debug("stream ends", stream_id=stream.id, reason=reason)
        self._caller_is_done(stream, reason)
        self._close_in_worker(stream, drain=True)

    def silent(self, stream: LiveStream) -> None:
        """No video of a push stream has come for ``limits.push_stall_ms``. Its call ends, so that it does not
        hold its place for ever."""
        limit_ms = self._limits.push_stall_ms
        if stream.responses is None or stream.media is None:
            return
        if not stream.has_audio or stream.media.has_video:
            error = f"access_unit: none came for {limit_ms} ms, see limits.push_stall_ms"
            stream.responses.close(SourceStalled(error))
        elif self._failure_response.goes_on_without_video(stream):
            stream.fed_ms = self._context.clock.monotonic_ms()
        else:
            self._unwatchable(stream, NoVideo(f"no video within {limit_ms} ms (audio only)"))

    def take_no_more(self, stream: LiveStream) -> None:
        """Takes no more media of a stream, since the gate stops. The worker judges the rest, and the caller
        is not told yet."""
        self._stop_pull(stream)
        if stream.life.watched and stream.source_opened:
            self._take_from_worker(stream, drain=True)

    def caller_cannot_pass_on(self, stream: LiveStream, detail: str) -> None:
        """Ends a push stream whose publisher sends what its caller cannot pass on."""
        if not stream.cutting:
            self._unwatchable(stream, InvalidInput("media", detail or "the caller cannot pass it on"))

    def detach(self, stream_id: str, reason: EndReason, caller: Caller) -> bool:
        """Stops a caller's pull because the caller is done or its publisher is gone. Also gives back the
        place of a stream that was never watched: returns False then."""
        stream = self.of_caller(stream_id, caller)
        if stream.is_unused and reason is EndReason.PUBLISHER_GONE:
            self.forget(stream, EndReason.PUBLISHER_GONE)
            return False
        if stream.url is None or stream.responses is None:
            raise NotFound("attached stream", stream_id)
        self._caller_is_done(stream, reason)
        if not stream.source_opened:
            self._source_ended(stream, None)
        else:
            self._close_in_worker(stream, drain=False)
        return True

    def release(self, stream_id: str, caller: Caller) -> None:
        """Takes an admission back that is not used. Raises Conflict for a stream that is watched or cut."""
        stream = self.of_caller(stream_id, caller)
        if stream.is_unused:
            self.forget(stream, EndReason.RELEASED)
        elif stream.cutting:
            raise Conflict(f"stream_id: {stream_id} is being cut: close its publisher, then call ConfirmCut")
        else:
            raise Conflict(f"stream_id: {stream_id} is watched: end its Watch call, or call Detach")

    def _caller_is_done(self, stream: LiveStream, reason: EndReason) -> None:
        if reason is EndReason.PUBLISHER_GONE:
            stream.life.caller_left()
        else:
            stream.life.caller_done()

    def call_ended(self, stream: LiveStream, responses: ResponseQueue) -> None:
        """Handles the end of a Watch or Attach call, whoever ended it."""
        if stream.responses is not responses:
            return
        responses.close()
        stream.responses = None
        stream.client = ""
        self._close_in_worker(stream, drain=False)
        self._idle(stream)
        if stream.life.state is State.LEFT:
            self.forget(stream, EndReason.PUBLISHER_GONE)

    def cut_publisher_gone(self, stream: LiveStream) -> None:
        """Handles the server's hook that the publisher of a stream that is being cut is gone. What follows in
        a pull may be another's."""
        self._stop_pull(stream)

    def publisher_gone(self, stream: LiveStream) -> None:
        """Handles the server's hook that the publisher is gone. The worker still judges the rest of a
        pulled stream.

        A violation just before the end must not escape.
        """
        if stream.url is None or stream.responses is not None or not stream.life.publisher_gone():
            self.forget(stream, EndReason.PUBLISHER_GONE)
            return
        self._context.registry.release_connection(stream)
        if not stream.source_opened:
            self._source_ended(stream, None)
            return
        self._close_in_worker(stream, drain=True)
        self._tasks.start(self._forget_drained(stream))

    async def _forget_drained(self, stream: LiveStream) -> None:
        """Forgets the stream if its worker has not reported its end in time."""
        await asyncio.sleep(_DRAIN_S)
        if stream.life.state is State.GONE:
            self.forget(stream, EndReason.PUBLISHER_GONE)

    def forget(self, stream: LiveStream, reason: EndReason) -> None:
        """Ends the stream and releases everything that it holds."""
        if stream.life.over:
            return
        if stream.cutting:
            self._clean.violated(stream.publish)
        else:
            self._clean.watched(stream.publish, self._watched_ms(stream))
        self._close_in_worker(stream, drain=False)
        self._pool.release(stream.id)
        stream.life.forgotten()
        if stream.responses is not None:
            stream.responses.close(_ending(reason))
        self._context.registry.remove(stream)
        live = len(self._context.registry)
        self._context.telemetry.report(StreamOver(stream.id, stream.publish, reason, live))

    def _close_in_worker(self, stream: LiveStream, *, drain: bool) -> None:
        self._stop_pull(stream)
        if stream.life.in_worker:
            self._take_from_worker(stream, drain=drain)

    def _take_from_worker(self, stream: LiveStream, *, drain: bool) -> None:
        with contextlib.suppress(WorkerLost):
            self._pool.send(
                stream.id,
                worker_pb2.ToWorker(close=worker_pb2.Close(stream_id=stream.id, drain=drain)),
            )

    def _idle(self, stream: LiveStream) -> None:
        stream.idle_since_ms = self._context.clock.monotonic_ms()
        if stream.cutting:
            return  # Its worker keeps the media until the evidence is written.
        stream.life.worker_left()
        self._pool.release(stream.id)
        self._context.registry.idle(stream)

    # Reports of workers.

    def closed(self, event: worker_pb2.Closed) -> None:
        """Handles a worker's report that it has closed a stream, on its own or as told."""
        self._context.telemetry.report(StreamClosed(event.stream_id, event.reason))
        stream = self._context.registry.find(event.stream_id)
        if stream is None or not stream.life.in_worker or event.opening != stream.opening:
            return
        reason = CloseReason(event.reason)
        if reason is CloseReason.GAP and stream.life.watched and not _is_over(stream):
            self._idle(stream)
            self._open_after_gap(stream)
        elif reason.is_clean:
            self._source_ended(stream, stream.pull_error)
        else:
            self._source_ended(stream, error_of(event), event.detail)

    def _source_ended(self, stream: LiveStream, error: GateError | None, detail: str = "") -> None:
        """Handles the end of a stream's media, or of its watching. ``error`` says why, unless it is in
        order."""
        self._stop_pull(stream)
        self._idle(stream)
        if stream.cutting:
            return
        if stream.life.state is State.GONE:
            self.forget(stream, EndReason.PUBLISHER_GONE)
            return
        if self._context.media_over and not _is_unwatchable(error):
            return  # Whoever called is told that the gate stops, once all that has come is judged.
        responses = stream.responses
        detail = detail or str(error)
        # A publisher's camera may be slow to start: only a second pull without video counts.
        again = stream.pulls == 0 and stream.url is not None and responses is None
        goes_on = _has_no_video(error) and (again or self._failure_response.goes_on_without_video(stream))
        if error is not None and error.fault is Fault.PUBLISHER and not goes_on:
            if not (error.retryable and stream.reopenings.take(self._context.clock.monotonic_ms())):
                self._unwatchable(stream, error)
                return
            self._failure_response.degraded(stream, DegradedReason(error.reason), detail=detail)
            if responses is not None:
                self._open_again(stream)
                return
        elif error is not None and not goes_on:
            self._context.telemetry.report(WatchingFailed(stream.id, stream.publish, error.reason, detail))
            self._failure_response.unwatched(stream, DegradedReason(error.reason), detail)
            if stream.cutting:
                return
        if stream.url is not None and responses is None and not stream.life.caller_is_done:
            # The stream is on air, whatever its media did. Nobody else would look again.
            self._tasks.start(self._pull_again(stream))
        elif responses is not None:
            responses.close(error)

    async def _pull_again(self, stream: LiveStream) -> None:
        """Pulls a hooked stream again whose pull ended, until its publisher's end is reported."""
        stream.pulls += 1
        if stream.pulls == _PULLS_TO_ALARM:
            log.critical("a live stream cannot be pulled", stream_id=stream.id, pulls=stream.pulls)
            self._failure_response.unwatched(
                stream, DegradedReason.PULL_FAILED, f"{stream.pulls} pulls in a row gave no verdict"
            )
        pause_ms = backoff_ms(stream.pulls, _PULL_RETRY_MS, _PULL_PAUSE_MS)
        while stream.life.waits:
            await asyncio.sleep(pause_ms / 1000)
            if not stream.life.waits or self._context.media_over:
                return
            try:
                self._open_pull(stream)
                self._watch(stream, client="", responses=False)
                return
            except (CapacityExceeded, WorkerLost) as error:
                log.warning("pull waits for a worker", stream_id=stream.id, error=str(error))
            except Exception as error:  # The stream is on air, and nobody else would look.
                task_health().failed("StreamRouter._pull_again", error)

    def streams_lost(self, stream_ids: tuple[str, ...], quarantined: str | None) -> None:
        """Moves the streams of a dead worker to others, and quarantines the one that must not return."""
        restarts, self._restarts = self._pool.restarts - self._restarts, self._pool.restarts
        self._context.telemetry.report(WorkersRestarted(restarts))
        lost: list[LiveStream] = []
        for stream_id in stream_ids:
            stream = self._context.registry.find(stream_id)
            if stream is None or not stream.life.watched:
                continue
            if stream_id == quarantined:
                self._quarantine(stream)
            elif stream.life.state is State.GONE:
                self.forget(stream, EndReason.PUBLISHER_GONE)  # None of the rest can be judged.
            else:
                self._failure_response.degraded(stream, DegradedReason.WORKER_LOST)
                if _is_over(stream):
                    self._source_ended(stream, stream.pull_error)
                else:
                    lost.append(stream)
        if lost:
            lost.sort(key=lambda stream: stream.tier is not Tier.ALERT)
            self._tasks.start(self._open_again_in_turn(lost))

    async def _open_again_in_turn(self, lost: list[LiveStream]) -> None:
        """Reopens streams one by one, so that each gets a verdict soon. All at once, none would be in
        time."""
        openings = [stream.opening for stream in lost]
        for stream, opening in zip(lost, openings, strict=True):
            if not stream.life.watched or stream.life.state is State.GONE or stream.opening != opening:
                continue
            stream.verdict_came = asyncio.Event()
            try:
                self._open_again(stream)
            except Exception as error:  # The others have to be reopened, whatever is wrong with this one.
                task_health().failed("StreamRouter._open_again", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stream.verdict_came.wait(), _TURN_MS / 1000)
            stream.verdict_came = None

    def _quarantine(self, stream: LiveStream) -> None:
        self._idle(stream)
        error = BrokenMedia("quarantined: its media has ended a worker twice")
        self._unwatchable(stream, error, VerdictReason.QUARANTINED)

    def _unwatchable(
        self, stream: LiveStream, error: GateError, reason: VerdictReason = VerdictReason.UNWATCHABLE
    ) -> None:
        """Ends a stream whose publisher sent what cannot be watched.

        No worker decodes it any more. One worker writes evidence from its media.
        """
        self._stop_pull(stream)
        with contextlib.suppress(CapacityExceeded):
            if not stream.life.in_worker:
                self._pool.assign(stream.id, to_watch=False)
            for _ in self._evidence_messages(stream):
                pass  # All at once: when the call has ended, the worker is released.
        self._failure_response.unwatchable(stream, error, reason)
        if stream.cutting:
            stream.media = None  # The worker has it. Nothing more of it is judged.

    def budget_reported(self, report: worker_pb2.BudgetReport) -> None:
        """Moves a stream to a worker of its own kind. Ends it by policy where it cannot be watched at all."""
        stream = self._context.registry.find(report.stream_id)
        if stream is None or not stream.life.watched or report.opening != stream.opening or _is_over(stream):
            return
        match Standing(report.standing):
            case Standing.OVER:
                self._move(stream, heavy=True, share=report.share)
            case Standing.LIGHT if stream.moves < _MOST_MOVES:
                self._move(stream, heavy=False, share=report.share)
            case Standing.UNPAYABLE:
                self._unpayable(stream, report.share)

    def _move(self, stream: LiveStream, *, heavy: bool, share: float) -> None:
        if stream.life.state is State.GONE or not self._pool.set_heavy(stream.id, heavy):
            return
        stream.moves += 1
        self._context.telemetry.report(StreamMoved(stream.id, heavy, share))
        self._take_from_worker(stream, drain=False)
        self._open_again(stream)

    def _unpayable(self, stream: LiveStream, share: float) -> None:
        decoding = self._context.in_force.for_publish(stream.publish).decoding
        error = OverBudget(
            f"watching it takes more than {decoding.share:g} of a core (decoding.share; {share:.2f} lately), "
            "and next to nothing of it can be judged within that: send smaller pictures, fewer frames or a "
            "simpler codec"
        )
        if decoding.action is Action.CUT:
            self._unwatchable(stream, error)
        elif decoding.action is Action.FLAG:
            self._failure_response.flag_unwatchable(stream, error)

    def _open_after_gap(self, stream: LiveStream) -> None:
        """Reopens a stream from the GOP kept here. If no keyframe ever came, it would stay unwatched."""
        self._failure_response.degraded(stream, DegradedReason.GAP)
        self._open_again(stream)

    def _open_again(self, stream: LiveStream) -> None:
        try:
            if _is_over(stream):
                self._open_pull(stream)
                stream.life.reopened()
                return
            self._pool.assign(stream.id)
            if stream.source_opened:
                alert, judged = stream.tier is Tier.ALERT, stream.samples > 0
                self._open_in_worker(stream, alert=alert, calm=judged and not alert)
            stream.life.reopened()
            if stream.source_opened and stream.media is not None:
                limits = self._limits
                gop = stream.media.begin_again(limits.max_queue_units, limits.max_queue_bytes)
                # The latency budget starts anew. The loss of earlier media has been reported.
                now = self._context.clock.monotonic_ms()
                self._send_units(stream.id, (replace(unit, arrival_ms=now) for unit in gop))
            if stream.life.caller_is_done or self._context.media_over:  # while no worker had the stream
                self._close_in_worker(stream, drain=True)
        except (CapacityExceeded, WorkerLost) as error:
            self._stop_pull(stream)
            self._idle(stream)
            self._failure_response.unwatched(stream, DegradedReason.WORKER_LOST, str(error))
            if stream.responses is not None:
                stream.responses.close(error)
            elif stream.url is not None and not stream.life.caller_is_done:
                self._tasks.start(self._pull_again(stream))


def _is_recorded(stream: LiveStream) -> bool:
    """Whether media of a stream that is being cut is evidence still."""
    return stream.cutting and stream.media is not None and bool(stream.media.recordings)


def _ending(reason: EndReason) -> GateError | None:
    """Returns the error with which the call of a stream ends that is over. None if that is in order."""
    if reason in (EndReason.CUT, EndReason.PUBLISHER_GONE, EndReason.RELEASED):
        return None
    if reason is EndReason.GAVE_WAY:
        return SourceStalled("access_unit: none has come, and another publish needed the place")
    return WorkerLost(f"the stream is {reason}")


def _has_no_video(error: GateError | None) -> bool:
    return error is not None and error.reason == NoVideo.reason


def _is_unwatchable(error: GateError | None) -> bool:
    """Whether the publisher's media is such that no other attempt helps."""
    no_video = _has_no_video(error)
    return error is not None and error.fault is Fault.PUBLISHER and not error.retryable and not no_video


def _is_over(stream: LiveStream) -> bool:
    """Whether its pull has ended, so that no more media comes."""
    return stream.url is not None and stream.pull is None


def _over_bounds(message: gate_pb2.AudioUnits) -> str:
    """The bound that an audio message exceeds. Empty if it exceeds none."""
    if len(message.units) > MAX_AUDIO_UNITS:
        return f"audio.units: {len(message.units)} are over the limit of {MAX_AUDIO_UNITS}"
    size = max([len(message.extradata), *(len(unit.data) for unit in message.units)])
    if size > MAX_AUDIO_BYTES or len(message.codec) > MAX_CODEC_CHARS:
        return f"audio: {size} bytes are over the limit of {MAX_AUDIO_BYTES}, or the codec's name is too long"
    return ""
