"""Decides what follows when a stream's media, its worker or its publisher is gone."""

from __future__ import annotations

import asyncio

from edge.background import BackgroundTasks
from edge.contract.gen import worker_pb2
from edge.domain import Tier
from edge.errors import Fault, GateError, NoVideo, SourceStalled, WorkerLost
from edge.reasons import CloseReason, DegradedReason, EndReason
from edge.supervise.clean_records import CleanRecords
from edge.supervise.context import Context
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.live_stream import LiveStream
from edge.supervise.past_streams import PastStream
from edge.supervise.stream_life import State
from edge.supervise.stream_reopener import StreamReopener
from edge.supervise.unwatchable_streams import UnwatchableStreams
from edge.supervise.worker_channel import WorkerChannel
from edge.telemetry.records import StreamClosed, StreamOver, WatchingFailed, WorkersRestarted
from edge.workers.closing import error_of
from edge.workers.decoding_budget import Standing

_MOST_MOVES = 4
"""Moves between ordinary workers and the one for heavy streams after which a stream stays there."""
_DRAIN_S = 1.0
"""How long a worker still judges the rest of a pulled stream after its publisher is gone."""


class StreamEnds:
    """Ends streams, or has them opened again."""

    def __init__(
        self,
        context: Context,
        channel: WorkerChannel,
        clean: CleanRecords,
        reopener: StreamReopener,
        unwatchable: UnwatchableStreams,
        failure_response: FailureResponse,
        tasks: BackgroundTasks,
    ) -> None:
        self._context = context
        self._pool = context.pool
        self._channel = channel
        self._clean = clean
        self._reopener = reopener
        self._unwatchable = unwatchable
        self._failure_response = failure_response
        self._tasks = tasks
        self._restarts = 0

    def closed(self, event: worker_pb2.Closed) -> None:
        """Handles a worker's report that it has closed a stream, on its own or as told."""
        self._context.telemetry.report(StreamClosed(event.stream_id, event.reason))
        stream = self._context.registry.find(event.stream_id)
        if stream is None or not stream.life.in_worker or event.opening != stream.opening:
            return
        reason = CloseReason(event.reason)
        if reason is CloseReason.GAP and stream.life.watched and not stream.pull_is_over:
            self._channel.release(stream)
            self._reopener.open_after_gap(stream)
        elif reason.is_clean:
            self.source_ended(stream, stream.pull_error)
        else:
            self.source_ended(stream, error_of(event), event.detail)

    def source_ended(self, stream: LiveStream, error: GateError | None, detail: str = "") -> None:
        """Handles the end of a stream's media, or of its watching. ``error`` says why, unless it is in
        order."""
        stream.stop_pull()
        self._channel.release(stream)
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
                self._unwatchable.end_stream(stream, error)
                return
            self._failure_response.degraded(stream, DegradedReason(error.reason), detail=detail)
            if responses is not None:
                self._reopener.open_again(stream)
                return
        elif error is not None and not goes_on:
            self._context.telemetry.report(WatchingFailed(stream.id, stream.publish, error.reason, detail))
            self._failure_response.unwatched(stream, DegradedReason(error.reason), detail)
            if stream.cutting:
                return
        if stream.url is not None and responses is None and not stream.life.caller_is_done:
            # The stream is on air, whatever its media did. Nobody else would look again.
            self._tasks.start(self._reopener.pull_again(stream))
        elif responses is not None:
            responses.close(error)

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
            self.source_ended(stream, None)
            return
        self._channel.close_stream(stream, drain=True)
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
            if stream.samples:
                now, clean_ms = self._context.clock.wall_ms(), self._clean.clean_ms(stream.publish)
                past = PastStream(stream.id, stream.publish, stream.started_ms, now, clean_ms, stream.struck)
                self._context.past.add_stream(past)
            self._clean.watched(stream.publish, stream.watched_ms(self._context.clock.monotonic_ms()))
        self._channel.close_stream(stream, drain=False)
        self._pool.release(stream.id)
        stream.life.forgotten()
        if stream.responses is not None:
            stream.responses.close(_ending(reason))
        self._context.registry.remove(stream)
        live = len(self._context.registry)
        self._context.telemetry.report(StreamOver(stream.id, stream.publish, reason, live))

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
                self._unwatchable.quarantine(stream)
            elif stream.life.state is State.GONE:
                self.forget(stream, EndReason.PUBLISHER_GONE)  # None of the rest can be judged.
            else:
                self._failure_response.degraded(stream, DegradedReason.WORKER_LOST)
                if stream.pull_is_over:
                    self.source_ended(stream, stream.pull_error)
                else:
                    lost.append(stream)
        if lost:
            lost.sort(key=lambda stream: stream.tier is not Tier.ALERT)
            self._tasks.start(self._reopener.open_again_in_turn(lost))

    def budget_reported(self, report: worker_pb2.BudgetReport) -> None:
        """Moves a stream to a worker of its own kind. Ends it by policy where it cannot be watched at all."""
        stream = self._context.registry.find(report.stream_id)
        if stream is None or not stream.life.watched or report.opening != stream.opening:
            return
        if stream.pull_is_over:
            return
        match Standing(report.standing):
            case Standing.OVER:
                self._reopener.move_stream(stream, heavy=True, share=report.share)
            case Standing.LIGHT if stream.moves < _MOST_MOVES:
                self._reopener.move_stream(stream, heavy=False, share=report.share)
            case Standing.UNPAYABLE:
                self._unwatchable.unpayable(stream, report.share)


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
