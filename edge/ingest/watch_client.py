"""Keeps one stream watched by the gate: a Watch call, reopened while the publisher is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum

import grpc
from grpc import aio

from edge.background import BackgroundTasks
from edge.backoff import backoff_ms
from edge.clock import Clock
from edge.contract.gen import gate_pb2
from edge.domain import AccessUnit, Audio, Codec, Tier
from edge.errors import Fault, GateUnavailable, InvalidInput, SourceStalled
from edge.ingest.decoder_configuration import Change, DecoderConfiguration
from edge.ingest.gate_client import (
    AdmittedStream,
    FinalStatus,
    GateClient,
    WatchCall,
    audio_request,
    end_request,
    open_request,
    unit_request,
)
from edge.ingest.gate_feed import GateFeed
from edge.ingest.held_audio import HeldAudio
from edge.ingest.relay import Relay, RelayedMessage
from edge.ingest.rtmp import PublishRequest
from edge.ingest.settings import ITEM_BYTES, IngestSettings
from edge.policy import FailureMode
from edge.reasons import EndReason

_TIERS = {gate_pb2.TIER_KIND_CALM: Tier.CALM, gate_pb2.TIER_KIND_ALERT: Tier.ALERT}
_FAREWELL_S = 2.0
_MOST_AUDIO = 8


class Ending(Enum):
    """Why watching ended. All but NO_MORE_NEEDED close the publisher."""

    CUT = "cut"
    NO_MORE_NEEDED = "no_more_needed"
    REFUSED = "refused"
    """The gate came back and does not admit this publish."""
    UNWATCHABLE = "unwatchable"
    """The gate cannot decode the stream, so nobody may see it."""
    GATE_LOST = "gate_lost"
    """The gate is away, and the settings say deny or the publisher has left meanwhile."""
    FINISHED = "finished"
    """The publisher ended the stream, and the gate closed the call too."""


class WatchClient:
    """Pushes access units as the gate's tier asks, and returns the gate's answers.

    ``run`` is a task of its own. The publisher's side calls ``configure``, ``push``, ``push_audio``,
    ``pass_on`` and ``finish``. While the gate is away, media is not queued. The client keeps the current
    GOP and pushes it when the gate is back. ``counters["unwatched_units"]`` counts what the gate missed.

    Media reaches the relay through this object alone, after the gate was offered it. What the gate cannot
    follow, as before a keyframe, is dropped (``counters["unoffered_units"]``). While the gate is away,
    ``on_gate_down_stream = allow`` lets all of it pass.
    """

    def __init__(
        self,
        gate: GateClient,
        publish: PublishRequest,
        connection: str,
        stream: AdmittedStream,
        settings: IngestSettings,
        counters: Counter[str],
        on_answer: Callable[[gate_pb2.WatchResponse], None],
        on_down: Callable[[str], None],
        clock: Clock,
        relay: Relay | None,
    ) -> None:
        self.stream = stream
        self.detail = ""
        self._gate = gate
        self._publish = publish
        self._connection = connection
        self._settings = settings
        self._counters = counters
        self._on_answer = on_answer
        self._on_down = on_down
        self._feed = GateFeed(settings.max_gop_bytes)
        self._clock = clock
        self._relay = relay
        self._held_audio = HeldAudio(1000 * settings.no_video_s)
        self._configuration = DecoderConfiguration(settings.max_configurations_per_minute)
        self._configured = asyncio.Event()
        self._call: WatchCall | None = None
        self._opened = asyncio.Event()
        self._connected = asyncio.Event()
        self._away = False
        self._over = False
        self._released = False
        """The gate needs no more media: all that follows may go to the relay."""
        self._stalled = ""
        self._reopen = self._paused = False
        self._finish_reason: str | None = None
        self._finish_detail = ""
        self._outbox: deque[AccessUnit] = deque()
        self._unjudged: deque[tuple[int, int]] = deque()
        """dts and pts of the units of this call that the gate has not cleared, in the order of sending."""
        self._judged_units = 0
        self._video_ms = -1
        """dts of the newest unit. Whatever else comes waits for it."""
        self._outbox_bytes = 0
        self._audio_wanted = False
        self._audio_queue: deque[Audio] = deque()
        self._work = asyncio.Event()
        self._space = asyncio.Event()
        self._tasks = BackgroundTasks()

    @property
    def tier(self) -> Tier:
        return self._feed.tier

    @property
    def codec(self) -> Codec:
        return self._configuration.codec

    @property
    def configured(self) -> bool:
        """Whether video that the gate can watch has arrived."""
        return self._configured.is_set()

    def configure(self, codec: Codec, record: bytes, message: RelayedMessage) -> None:
        """Sets the stream's decoder configuration. Where no decoder could go on, a new Watch call begins.

        Raises LimitExceeded if there were too many in the last minute, and InvalidInput for a damaged record
        in mid-stream.
        """
        change = self._configuration.set(codec, record, self._clock.monotonic_ms())
        if change is Change.NONE:
            return
        if change is Change.REOPEN and self._configured.is_set():
            self._feed.forget()
            self._reopen = True
            self._connected.clear()
            self._work.set()
        self._configured.set()
        self.pass_on(message)

    async def push(self, unit: AccessUnit, message: RelayedMessage) -> None:
        """Shows one access unit to the gate, and its message to viewers. Waits up to ``gate_stall_s`` while
        the gate is slow."""
        self._video_ms = unit.dts_ms
        if not self._over:
            await self._offer(self._configuration.apply(unit))
        if self._passes:
            for held in self._held_audio.release():
                self._relay_on(held)
            self._relay_on(message)
        else:
            self._counters["unoffered_units"] += 1
            self._goes_on_without_video()

    @property
    def _goes_on_unwatched(self) -> bool:
        return self._away and self._settings.on_gate_down_stream is FailureMode.ALLOW

    @property
    def _passes(self) -> bool:
        """Whether media passes now: the gate has the newest frame, or needs none, or is away."""
        return self._over or self._feed.following or self._goes_on_unwatched

    def pass_on(self, message: RelayedMessage) -> None:
        """Passes what is no video on to the relay: audio and metadata.

        Audio waits for video that the gate is offered. Raises InvalidInput for a stream that never brings
        any, unless ``on_no_video`` is allow.
        """
        if message.config or self._passes:
            self._relay_on(message)
        elif self._goes_on_without_video():
            self._counters["audio_without_video"] += 1
            self._relay_on(message)
        else:
            self._held_audio.hold(message)

    def _goes_on_without_video(self) -> bool:
        if not self._held_audio.waits_too_long(self._clock.monotonic_ms()):
            return False
        if self._settings.on_no_video is FailureMode.DENY:
            limit = self._settings.no_video_s
            raise InvalidInput("flv.video", f"none came within {limit} s, see on_no_video")
        return True

    def _relay_on(self, message: RelayedMessage) -> None:
        if self._relay is not None and (self._released or not self._over):
            self._relay.offer(message, self._video_ms, self._clock.monotonic_ms())

    async def _offer(self, unit: AccessUnit) -> None:
        due = self._feed.push(unit)
        if self._connected.is_set():
            self._enqueue(due)
        elif self._away:
            self._counters["unwatched_units"] += 1
        else:
            # The call is being opened. A fast publisher must not get ahead of it.
            await self._wait_for_call()
        if self._outbox_bytes > self._settings.max_pending_bytes:
            await self._wait_for_space()

    def push_audio(self, audio: Audio) -> None:
        """Shows audio to the gate while the gate wants any. Never waits; drops audio beyond a small queue."""
        if self._audio_wanted and self._connected.is_set() and len(self._audio_queue) < _MOST_AUDIO:
            self._audio_queue.append(audio)
            self._work.set()

    def finish(self, reason: str, detail: str = "") -> None:
        """The publisher is gone, or is ended: sends the queue, then ``end``. ``run`` then returns."""
        self._finish_reason, self._finish_detail = reason, detail
        self._work.set()

    async def run(self) -> Ending:
        """Keeps the stream watched until something ends it. Cancel it to give up at once."""
        try:
            ending = await self._run()
            self._released = ending is Ending.NO_MORE_NEEDED
            return ending
        finally:
            self._over = True
            self._connected.set()
            self._space.set()

    async def farewell(self, reason: str) -> None:
        """Ends the call after a CUT, or when the stream is given up."""
        call = self._call
        if call is None or call.done():
            return
        with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await call.write(end_request(reason))
                await call.done_writing()
                await call.code()
        call.cancel()

    async def _run(self) -> Ending:
        failures = 0
        while True:
            await self._configured.wait()
            try:
                if not self.stream.id and not await self._readmit():
                    return Ending.REFUSED
                ending = await self._watch()
            except GateUnavailable as error:
                self._lose(str(error))
                if self._settings.on_gate_down_stream is FailureMode.DENY:
                    return Ending.GATE_LOST
                if self._finish_reason is not None:
                    return Ending.GATE_LOST
                failures += 1
                first_ms, most_ms = 1000 * self._settings.retry_first_s, 1000 * self._settings.retry_most_s
                await asyncio.sleep(backoff_ms(failures, first_ms, most_ms) / 1000)
                continue
            if ending is not None:
                return ending
            failures = 0
            if self._paused:
                self._paused = False
                await asyncio.sleep(self._settings.retry_first_s)

    async def _readmit(self) -> bool:
        answer = await self._gate.admit(self._publish, self._connection)
        self.stream = AdmittedStream.of(answer)
        self.detail = answer.message.en
        return answer.allowed

    async def _watch(self) -> Ending | None:
        """Runs one Watch call from open to close. Returns None if the stream must be opened anew."""
        self._reopen, self._stalled = False, ""
        call = self._call = self._gate.watch()
        status = FinalStatus(call)
        self._opened.clear()
        self._unjudged.clear()
        self._judged_units = 0
        self._feed.change(Tier.ALERT, 0)
        sender = self._tasks.start(self._send(call))
        try:
            async for answer in call:
                self._opened.set()
                if answer.WhichOneof("response") in ("opened", "tier"):
                    self._change_tier(answer)
                self._note_cleared(answer)
                self._on_answer(answer)
                if answer.verdict.action == gate_pb2.ACTION_CUT:
                    return Ending.CUT
            return self._clean_close()
        except asyncio.CancelledError:
            # A call that this side cancelled raises CancelledError, just like a cancelled task.
            task = asyncio.current_task()
            if not self._stalled or (task is not None and task.cancelling()):
                raise
            raise GateUnavailable(f"Watch: {self._stalled}") from None
        except aio.AioRpcError as error:
            code = status.code or error.code()
            if self._reopen or code is grpc.StatusCode.OK:
                return self._clean_close()
            self.detail = f"Watch: {code.name}: {status.details}"
            if status.fault is Fault.PUBLISHER:
                return Ending.UNWATCHABLE if status.reason else await self._report_unwatchable()
            if status.reason == SourceStalled.reason:
                self._paused = True
                return None  # the publisher paused for too long: nothing has failed
            if code is grpc.StatusCode.NOT_FOUND:
                self.stream = AdmittedStream()  # the gate was restarted: ask for admission again
            raise GateUnavailable(self.detail) from error
        finally:
            sender.cancel()
            self._connected.clear()
            self._counters["unwatched_units"] += len(self._outbox)
            self._outbox.clear()
            self._audio_queue.clear()
            self._audio_wanted = False
            self._outbox_bytes = 0
            self._space.set()

    async def _report_unwatchable(self) -> Ending:
        """gRPC itself has ended the call for what the publisher sent, such as a message too large for it. The
        gate learns that from another call, and opens the incident."""
        if self._finish_reason != EndReason.UNWATCHABLE:
            self._over = True
            self._feed.forget()
            self._outbox.clear()  # it was for the call that has ended
            self.finish(EndReason.UNWATCHABLE, self.detail)
            with contextlib.suppress(GateUnavailable):
                async with asyncio.timeout(_FAREWELL_S):
                    if await self._watch() is Ending.CUT:
                        return Ending.CUT
        return Ending.UNWATCHABLE

    def _clean_close(self) -> Ending | None:
        if self._reopen:
            return None
        return Ending.NO_MORE_NEEDED if self._finish_reason is None else Ending.FINISHED

    async def _send(self, call: WatchCall) -> None:
        # A failed write also shows where the call is read.
        with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(open_request(self.stream, self._configuration.codec, self._configuration.record))
            if not await self._opens():
                return
            self._away = False
            if not self._reopen:
                self._enqueue(self._feed.restart())
                self._connected.set()
            while True:
                while self._outbox:
                    unit = self._outbox.popleft()
                    await call.write(unit_request(unit))
                    self._outbox_bytes -= len(unit.data) + ITEM_BYTES
                    self._space.set()
                while self._audio_queue:
                    await call.write(audio_request(self._audio_queue.popleft()))
                if self._outbox:
                    continue
                if self._reopen or self._finish_reason is not None:
                    reason = self._finish_reason or "reconfigured"
                    await call.write(end_request(reason, self._finish_detail))
                    await call.done_writing()
                    return
                self._work.clear()
                await self._work.wait()

    async def _opens(self) -> bool:
        """Waits for the gate's first answer. Gives up a call that the gate leaves open without one."""
        try:
            async with asyncio.timeout(self._settings.watch_open_timeout_s):
                await self._opened.wait()
        except TimeoutError:
            self._give_up(f"not opened within {self._settings.watch_open_timeout_s} s")
            return False
        return True

    def _give_up(self, why: str) -> None:
        self._stalled = why
        if self._call is not None:
            self._call.cancel()

    def _change_tier(self, answer: gate_pb2.WatchResponse) -> None:
        change = answer.opened.tier if answer.HasField("opened") else answer.tier
        tier = _TIERS.get(change.tier, Tier.ALERT)
        self._audio_wanted = change.audio_wanted
        due = self._feed.change(tier, change.needed_after_keyframe_ms)
        if self._connected.is_set():
            self._enqueue(due)

    def _note_cleared(self, answer: gate_pb2.WatchResponse) -> None:
        """Releases what the gate has cleared, in the order of sending. An older gate says no number
        of units."""
        cleared_ms = None
        while self._unjudged:
            dts_ms, pts_ms = self._unjudged[0]
            if answer.HasField("cleared_units"):
                cleared = self._judged_units < answer.cleared_units
            else:
                cleared = pts_ms <= answer.cleared_pts_ms
            if not cleared:
                break
            self._unjudged.popleft()
            self._judged_units += 1
            cleared_ms = dts_ms
        if cleared_ms is not None and self._relay is not None:
            self._relay.clear(cleared_ms, self._clock.monotonic_ms())

    def _enqueue(self, units: tuple[AccessUnit, ...]) -> None:
        for unit in units:
            self._outbox.append(unit)
            self._unjudged.append((unit.dts_ms, unit.pts_ms))
            self._outbox_bytes += len(unit.data) + ITEM_BYTES
        if units:
            self._work.set()

    async def _wait_for_call(self) -> None:
        try:
            async with asyncio.timeout(self._settings.gate_stall_s):
                await self._connected.wait()
        except TimeoutError:
            self._away = True

    async def _wait_for_space(self) -> None:
        try:
            async with asyncio.timeout(self._settings.gate_stall_s):
                while not self._over and self._outbox_bytes > self._settings.max_pending_bytes:
                    self._space.clear()
                    await self._space.wait()
        except TimeoutError:
            self._counters["gate_stalls"] += 1
            self._give_up(f"took no media for {self._settings.gate_stall_s} s")

    def _lose(self, detail: str) -> None:
        self._away = True
        self._connected.clear()
        self._counters["gate_down"] += 1
        self._on_down(detail)
