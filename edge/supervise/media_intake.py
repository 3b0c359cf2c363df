"""Takes the media of a stream from its source, and passes it to the worker as the stream's tier needs it."""

from __future__ import annotations

import asyncio
import contextlib

from edge.config import LimitsSection
from edge.contract.gate import audio_from_proto, audio_to_proto
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import MAX_AUDIO_BYTES, MAX_AUDIO_UNITS, AccessUnit
from edge.errors import LimitExceeded, WorkerLost
from edge.reasons import DegradedReason
from edge.stream import JUMP_HOLD_MS
from edge.supervise.context import Context
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.live_stream import LiveStream
from edge.supervise.push_buffer import PushBuffer
from edge.supervise.unwatchable_streams import UnwatchableStreams
from edge.supervise.worker_channel import WorkerChannel

MAX_CODEC_CHARS = 16


class MediaIntake:
    """Takes what a call pushes and what a puller passes on. Both are one path from here on."""

    def __init__(
        self,
        context: Context,
        channel: WorkerChannel,
        failure_response: FailureResponse,
        unwatchable: UnwatchableStreams,
    ) -> None:
        self._context = context
        self._pool = context.pool
        self._channel = channel
        self._failure_response = failure_response
        self._unwatchable = unwatchable

    @property
    def _limits(self) -> LimitsSection:
        """They may change while the gate runs."""
        return self._context.settings.limits

    def take_source(self, stream: LiveStream, codec: str, extradata: bytes) -> LimitExceeded | None:
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
        stream.fed_ms = stream.opened_ms = self._context.clock.monotonic_ms()
        return None

    def push(self, stream: LiveStream, unit: gate_pb2.AccessUnit | AccessUnit) -> bool:
        """Passes on an access unit. Returns whether its source should wait for ``drained``.

        A unit over the limit ends the stream.
        """
        media = stream.media
        watched = stream.life.watched and not self._context.media_over
        if media is None or not (watched or stream.is_recorded):
            return False
        limit = self._limits.max_access_unit_bytes
        data = unit.data
        if stream.cutting:
            if len(data) <= limit:  # It is evidence, and no worker looks at it.
                now = self._context.clock.monotonic_ms()
                media.add_unit(AccessUnit(unit.pts_ms, unit.dts_ms, unit.keyframe, data, now))
            return media.ahead_ms > 0
        if len(data) > limit:
            self._unwatchable.end_stream(stream, LimitExceeded("access_unit.data", limit, len(data), "bytes"))
            return False
        stream.fed_ms = now = self._context.clock.monotonic_ms()
        due = media.add_unit(AccessUnit(unit.pts_ms, unit.dts_ms, unit.keyframe, data, now))
        if fault := media.new_fault(now):
            self._failure_response.wrong_timestamps(stream, fault)
        if due.unit is None and not due.deferred:
            return media.ahead_ms > 0
        with contextlib.suppress(WorkerLost):  # ``streams_lost`` opens it again.
            if due.jump:
                self._channel.ask_alert(stream, JUMP_HOLD_MS)
            self._channel.send_units(stream.id, due.deferred)
            if due.unit is not None:
                self._channel.send_units(stream.id, (due.unit,))
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
        # Audio has no say in how fast video is read, but a flood of messages has.
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


def _over_bounds(message: gate_pb2.AudioUnits) -> str:
    """The bound that an audio message exceeds. Empty if it exceeds none."""
    if len(message.units) > MAX_AUDIO_UNITS:
        return f"audio.units: {len(message.units)} are over the limit of {MAX_AUDIO_UNITS}"
    size = max([len(message.extradata), *(len(unit.data) for unit in message.units)])
    if size > MAX_AUDIO_BYTES or len(message.codec) > MAX_CODEC_CHARS:
        return f"audio: {size} bytes are over the limit of {MAX_AUDIO_BYTES}, or the codec's name is too long"
    return ""
