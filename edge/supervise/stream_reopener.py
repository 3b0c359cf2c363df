"""Opens streams again: after a gap, in another worker, or by another pull."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from edge.background import BackgroundTasks, task_health
from edge.backoff import backoff_ms
from edge.domain import Tier
from edge.errors import CapacityExceeded, WorkerLost
from edge.reasons import DegradedReason
from edge.supervise.context import Context
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.live_stream import LiveStream
from edge.supervise.stream_life import State
from edge.supervise.stream_pulls import StreamPulls
from edge.supervise.worker_channel import WorkerChannel
from edge.telemetry.records import PullsFail, PullWaits, StreamMoved

_PULLS_TO_ALARM = 6
_PULL_PAUSE_MS = 5_000
_PULL_RETRY_MS = 600
_TURN_MS = 150.0
"""After a worker is lost: longest wait for one stream's verdict before the next stream is reopened."""


class StreamReopener:
    """Opens streams again that are still on air."""

    def __init__(
        self,
        context: Context,
        channel: WorkerChannel,
        pulls: StreamPulls,
        failure_response: FailureResponse,
        tasks: BackgroundTasks,
    ) -> None:
        self._context = context
        self._pool = context.pool
        self._channel = channel
        self._pulls = pulls
        self._failure_response = failure_response
        self._tasks = tasks

    def open_again(self, stream: LiveStream) -> None:
        """Opens a stream that no worker has, from the GOP that the supervisor keeps."""
        try:
            if stream.pull_is_over:
                self._pulls.open_pull(stream)
                stream.life.reopened()
                return
            self._pool.assign(stream.id)
            if stream.source_opened:
                alert, judged = stream.tier is Tier.ALERT, stream.samples > 0
                self._channel.open_stream(stream, alert=alert, calm=judged and not alert)
            stream.life.reopened()
            if stream.source_opened and stream.media is not None:
                limits = self._context.settings.limits
                gop = stream.media.begin_again(limits.max_queue_units, limits.max_queue_bytes)
                # The latency budget starts anew. The loss of earlier media has been reported.
                now = self._context.clock.monotonic_ms()
                self._channel.send_units(stream.id, (replace(unit, arrival_ms=now) for unit in gop))
            if stream.life.caller_is_done or self._context.media_over:  # while no worker had the stream
                self._channel.close_stream(stream, drain=True)
        except (CapacityExceeded, WorkerLost) as error:
            stream.stop_pull()
            self._channel.release(stream)
            self._failure_response.unwatched(stream, DegradedReason.WORKER_LOST, str(error))
            if stream.responses is not None:
                stream.responses.close(error)
            elif stream.url is not None and not stream.life.caller_is_done:
                self._tasks.start(self.pull_again(stream))

    async def open_again_in_turn(self, lost: list[LiveStream]) -> None:
        """Reopens streams one by one, so that each gets a verdict soon. All at once, none would be in
        time."""
        openings = [stream.opening for stream in lost]
        for stream, opening in zip(lost, openings, strict=True):
            if not stream.life.watched or stream.life.state is State.GONE or stream.opening != opening:
                continue
            stream.verdict_came = asyncio.Event()
            try:
                self.open_again(stream)
            except Exception as error:  # The others have to be reopened, whatever is wrong with this one.
                task_health().failed("StreamReopener.open_again", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stream.verdict_came.wait(), _TURN_MS / 1000)
            stream.verdict_came = None

    def open_after_gap(self, stream: LiveStream) -> None:
        """Reopens a stream from the GOP kept here. If no keyframe ever came, it would stay unwatched."""
        self._failure_response.degraded(stream, DegradedReason.GAP)
        self.open_again(stream)

    def move_stream(self, stream: LiveStream, *, heavy: bool, share: float) -> None:
        """Moves a stream to the worker for heavy streams, or back to the others."""
        if stream.life.state is State.GONE or not self._pool.set_heavy(stream.id, heavy):
            return
        stream.moves += 1
        self._context.telemetry.report(StreamMoved(stream.id, heavy, share))
        self._channel.take_stream(stream, drain=False)
        self.open_again(stream)

    async def pull_again(self, stream: LiveStream) -> None:
        """Pulls a hooked stream again whose pull ended, until its publisher's end is reported."""
        stream.pulls += 1
        if stream.pulls == _PULLS_TO_ALARM:
            self._context.telemetry.report(PullsFail(stream.id, stream.publish, stream.pulls))
            self._failure_response.unwatched(
                stream, DegradedReason.PULL_FAILED, f"{stream.pulls} pulls in a row gave no verdict"
            )
        pause_ms = backoff_ms(stream.pulls, _PULL_RETRY_MS, _PULL_PAUSE_MS)
        while stream.life.waits:
            await asyncio.sleep(pause_ms / 1000)
            if not stream.life.waits or self._context.media_over:
                return
            try:
                self._pulls.open_for_hook(stream)
                return
            except (CapacityExceeded, WorkerLost) as error:
                self._context.telemetry.report(PullWaits(stream.id, stream.publish, str(error)))
            except Exception as error:  # The stream is on air, and nobody else would look.
                task_health().failed("StreamReopener.pull_again", error)
