"""Where calls and hooks have a stream watched: they open it, feed it and end it here."""

from __future__ import annotations

from collections.abc import Callable

from edge.background import BackgroundTasks
from edge.config import LimitsSection
from edge.domain import StreamId
from edge.errors import (
    AlreadyExists,
    CapacityExceeded,
    Conflict,
    GateError,
    InvalidInput,
    NotFound,
    NoVideo,
    SourceStalled,
)
from edge.reasons import EndReason
from edge.supervise.authority import Caller
from edge.supervise.context import Context
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.live_stream import LiveStream
from edge.supervise.media_intake import MediaIntake
from edge.supervise.response_queue import ResponseQueue
from edge.supervise.stream_ends import StreamEnds
from edge.supervise.stream_life import State
from edge.supervise.stream_pulls import StreamPulls
from edge.supervise.stream_reopener import StreamReopener
from edge.supervise.unwatchable_streams import UnwatchableStreams
from edge.supervise.worker_channel import WorkerChannel


class StreamRouter:
    """Opens and ends streams for callers and hooks.

    Puts together the parts that do the rest: ``intake`` takes media, ``channel`` speaks to the workers,
    ``ends`` handles what the workers report, and ``reopener`` opens streams again.
    """

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
        self._failure_response = failure_response
        self._tasks = tasks
        self._cut_heard = cut_heard
        clean = context.clean
        self.channel = WorkerChannel(context, clean)
        self._unwatchable = UnwatchableStreams(context, self.channel, failure_response)
        self.intake = MediaIntake(context, self.channel, failure_response, self._unwatchable)
        self._pulls = StreamPulls(context, self.channel, self.intake, tasks, self._pull_ended)
        self.reopener = StreamReopener(context, self.channel, self._pulls, failure_response, tasks)
        self.ends = StreamEnds(
            context, self.channel, clean, self.reopener, self._unwatchable, failure_response, tasks
        )

    @property
    def _limits(self) -> LimitsSection:
        """They may change while the gate runs."""
        return self._context.settings.limits

    def _pull_ended(self, stream: LiveStream, error: GateError | None) -> None:
        self.ends.source_ended(stream, error)

    def open_push(self, stream_id: str, codec: str, extradata: bytes, caller: Caller) -> LiveStream:
        """Opens a push stream that was admitted. One that is being cut gets its CUT as the answer."""
        stream, client = self._watchable(stream_id, caller), caller.client
        if stream.cutting:
            return self._answer_cut(stream, client)
        stream.url = None
        if (refusal := self.intake.take_source(stream, codec, extradata)) is not None:
            # The call gets its answers, and no worker has the stream.
            self._give_call(stream, client)
            self._failure_response.unwatchable(stream, refusal)
            return stream
        self._pool.assign(stream.id)
        self.channel.open_stream(stream, alert=False)
        self._watch(stream, client)
        self._tasks.start(self.channel.alert_if_struck(stream))
        return stream

    def attach_call(self, stream_id: str, url: str, caller: Caller) -> LiveStream:
        """Pulls a stream for a caller. The verdicts go to its call. One that is being cut gets its CUT."""
        stream, client = self._watchable(stream_id, caller), caller.client
        if stream.cutting:
            return self._answer_cut(stream, client)
        self._pulls.check(url)
        stream.url = url
        self._pulls.open_pull(stream)
        self._watch(stream, client)
        return stream

    def attach(self, stream_id: StreamId, url: str) -> None:
        """Pulls a stream for a hook. Only enforcement reads the verdicts."""
        stream = self._context.registry.get(stream_id)
        if stream.cutting:
            raise NotFound("stream to attach", stream_id)
        if stream.life.in_worker or self._context.media_over:
            return
        self._pulls.check(url)
        stream.url = url
        self._pulls.open_for_hook(stream)

    def pull_anew(self, stream_id: StreamId) -> bool:
        """Replaces the connection of a stream that the gate pulls. Returns whether it had one."""
        stream = self._context.registry.find(stream_id)
        if stream is None or stream.url is None or not stream.life.watched:
            return False
        if stream.life.state is State.GONE or self._context.media_over:
            return False
        self._pulls.start_pull(stream, stream.url)
        return True

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

    def _watch(self, stream: LiveStream, client: str) -> None:
        self._give_call(stream, client)
        stream.life.opened()

    def end_push(self, stream: LiveStream, reason: EndReason) -> None:
        """Ends the media of a push stream. The worker judges the rest."""
        self._caller_is_done(stream, reason)
        self.channel.close_stream(stream, drain=True)

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
            self._unwatchable.end_stream(stream, NoVideo(f"no video within {limit_ms} ms (audio only)"))

    def take_no_more(self, stream: LiveStream) -> None:
        """Takes no more media of a stream, since the gate stops. The worker judges the rest, and the caller
        is not told yet."""
        stream.stop_pull()
        if stream.life.watched and stream.source_opened:
            self.channel.take_stream(stream, drain=True)

    def caller_cannot_pass_on(self, stream: LiveStream, detail: str) -> None:
        """Ends a push stream whose publisher sends what its caller cannot pass on."""
        if not stream.cutting:
            error = InvalidInput("media", detail or "the caller cannot pass it on")
            self._unwatchable.end_stream(stream, error)

    def detach(self, stream_id: str, reason: EndReason, caller: Caller) -> bool:
        """Stops a caller's pull because the caller is done or its publisher is gone. Also gives back the
        place of a stream that was never watched: returns False then."""
        stream = self.of_caller(stream_id, caller)
        if stream.is_unused and reason is EndReason.PUBLISHER_GONE:
            self.ends.forget(stream, EndReason.PUBLISHER_GONE)
            return False
        if stream.url is None or stream.responses is None:
            raise NotFound("attached stream", stream_id)
        self._caller_is_done(stream, reason)
        if not stream.source_opened:
            self.ends.source_ended(stream, None)
        else:
            self.channel.close_stream(stream, drain=False)
        return True

    def release(self, stream_id: str, caller: Caller) -> None:
        """Takes an admission back that is not used. Raises Conflict for a stream that is watched or cut."""
        stream = self.of_caller(stream_id, caller)
        if stream.is_unused:
            self.ends.forget(stream, EndReason.RELEASED)
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
        self.channel.close_stream(stream, drain=False)
        self.channel.release(stream)
        if stream.life.state is State.LEFT:
            self.ends.forget(stream, EndReason.PUBLISHER_GONE)

    def cut_publisher_gone(self, stream: LiveStream) -> None:
        """Handles the server's hook that the publisher of a stream that is being cut is gone. What follows in
        a pull may be another's."""
        stream.stop_pull()
