"""Pulls streams: a puller passes media as the caller of Watch does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from edge.background import BackgroundTasks, task_health
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import AccessUnit, Codec, Tier
from edge.errors import GateError, WorkerLost
from edge.policy import FailureMode
from edge.pullers.pull import Pull
from edge.supervise.context import Context
from edge.supervise.live_stream import LiveStream
from edge.supervise.media_intake import MediaIntake
from edge.supervise.worker_channel import WorkerChannel
from edge.telemetry.records import FailureModeUsed


class StreamPulls:
    """Starts the pulls of streams and reads them to their ends."""

    def __init__(
        self,
        context: Context,
        channel: WorkerChannel,
        intake: MediaIntake,
        tasks: BackgroundTasks,
        ended: Callable[[LiveStream, GateError | None], None],
    ) -> None:
        """``ended`` is called for a pull that ended before a worker had its stream open."""
        self._context = context
        self._pool = context.pool
        self._pullers = context.pullers
        self._channel = channel
        self._intake = intake
        self._tasks = tasks
        self._ended = ended

    def check(self, url: str) -> None:
        """Raises an error if the URL may not be pulled."""
        self._pullers.check(url)

    def open_for_hook(self, stream: LiveStream) -> None:
        """Opens a pull whose verdicts no caller reads, only enforcement."""
        self.open_pull(stream)
        stream.client, stream.responses, stream.was_watched = "", None, True
        stream.life.opened()

    def open_pull(self, stream: LiveStream) -> None:
        """Assigns the stream to a worker and begins to pull it. The worker opens it once the source has."""
        assert stream.url is not None
        self._pool.assign(stream.id)
        stream.source_opened = False
        self.start_pull(stream, stream.url)

    def start_pull(self, stream: LiveStream, url: str) -> None:
        """Replaces the pull of a stream, if it has one, by a new one."""
        stream.stop_pull()
        stream.pull_error = None
        policy = self._context.in_force.for_publish(stream.publish)
        alone = policy.failure.on_no_video is FailureMode.ALLOW
        stream.pull = pull = self._pullers.pull(stream.id, url, audio_alone=alone)
        self._tasks.start(self._read_pull(stream, pull))

    async def _read_pull(self, stream: LiveStream, pull: Pull) -> None:
        """Reads the media of one pull until its end, as the servicer reads a Watch call."""
        error: GateError | None = None
        try:
            while (event := await pull.next()) is not None:
                if stream.cutting and not (isinstance(event, AccessUnit) and stream.is_recorded):
                    stream.stop_pull()
                    return
                match event:
                    case AccessUnit():
                        if self._intake.push(stream, event):
                            await self._intake.drained(stream)
                    case gate_pb2.AudioUnits():
                        if self._intake.push_audio(stream, event):
                            await self._intake.drained(stream)
                    case worker_pb2.PullOpened():
                        self._pull_opened(stream, event)
        except GateError as raised:
            error = raised
        except Exception as raised:
            task_health().failed("StreamPulls._read_pull", raised, stream_id=stream.id)
            error = WorkerLost("the gate failed to read the pull")
        if stream.pull is pull:
            self._pull_ended(stream, error)

    def _pull_opened(self, stream: LiveStream, opened: worker_pb2.PullOpened) -> None:
        self._context.containment.note("puller", opened.contained)
        if not opened.codec:  # audio alone
            self._context.telemetry.report(FailureModeUsed("on_no_video", FailureMode.ALLOW.value))
        codec = opened.codec or Codec.H264.value  # as a caller names one whose video has not come
        if (refusal := self._intake.take_source(stream, codec, opened.extradata)) is not None:
            self._ended(stream, refusal)
            return
        with contextlib.suppress(WorkerLost):  # ``streams_lost`` opens it again.
            self._channel.open_stream(stream, alert=stream.tier is Tier.ALERT)
        self._tasks.start(self._channel.alert_if_struck(stream))

    def _pull_ended(self, stream: LiveStream, error: GateError | None) -> None:
        """Handles the end of a pull that nobody here has stopped. The worker judges the rest."""
        stream.stop_pull()
        if not stream.life.watched:
            return
        stream.pull_error = error
        if not stream.source_opened:
            self._ended(stream, error)
        else:
            self._channel.close_stream(stream, drain=True)
