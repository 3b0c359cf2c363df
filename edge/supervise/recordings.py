"""Goes on recording evidence after a verdict, and has the longer clip written in place of the first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from edge.background import BackgroundTasks
from edge.clock import Clock
from edge.contract.gen import worker_pb2
from edge.domain import Incident
from edge.errors import CapacityExceeded, WorkerLost
from edge.policy import EvidencePolicy
from edge.supervise.evidence_requests import EvidenceRequests
from edge.supervise.incident_progress import IncidentProgress
from edge.supervise.kept_media import KeptMedia
from edge.supervise.live_stream import LiveStream
from edge.supervise.push_buffer import PushBuffer
from edge.supervise.recording import Recording
from edge.workers.pool import WorkerPool

SendMedia = Callable[[LiveStream, KeptMedia | None], Awaitable[None]]
"""Sends media of a stream to its worker, before a clip of it is requested. None: all that is kept of it."""

_AT_ONCE: Final = 2
"""Most clips that are sent to workers at once. Other streams' media goes the same way."""
_FIRST_CLIP_S: Final = 60.0


@dataclass(slots=True)
class _RunningRecording:
    stream: LiveStream
    media: PushBuffer
    incident: Incident
    recording: Recording
    first_clip: asyncio.Event = field(default_factory=asyncio.Event)


class Recordings:
    """The recordings of all streams, bounded together. Its ``sweep`` runs once a second."""

    def __init__(
        self,
        evidence: EvidenceRequests,
        send_media: SendMedia,
        pool: WorkerPool,
        progress: IncidentProgress,
        clock: Clock,
        tasks: BackgroundTasks,
        max_bytes: int,
    ) -> None:
        """``max_bytes``: most media of all recordings. Over it the largest one ends."""
        self._evidence = evidence
        self._send_media = send_media
        self._pool = pool
        self._progress = progress
        self._clock = clock
        self._tasks = tasks
        self._max_bytes = max_bytes
        self._running: dict[str, _RunningRecording] = {}
        self._ended: dict[str, _RunningRecording] = {}
        """Those whose clips are not written yet."""
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    def begin(
        self, stream: LiveStream, incident: Incident, policy: EvidencePolicy, *, to_the_end: bool = False
    ) -> None:
        """Records from what is kept before the verdict on. ``to_the_end``: as long as media comes, as for a
        cut."""
        if stream.media is None or not policy.after_ms:
            return
        recording = Recording(stream.media.kept(), policy, self._clock.monotonic_ms())
        if to_the_end:
            recording.goes_on_to_the_end()
        elif stream.url is None:
            # A caller leaves out what a calm stream does not need.
            ask = worker_pb2.AskAlert(stream_id=stream.id, hold_ms=policy.after_ms)
            with contextlib.suppress(WorkerLost):
                self._pool.send(stream.id, worker_pb2.ToWorker(ask_alert=ask))
        stream.media.recordings[incident.id] = recording
        self._running[incident.id] = _RunningRecording(stream, stream.media, incident, recording)

    def goes_on(self, incident_id: str) -> None:
        """What is recorded goes on."""
        if (running := self._running.get(incident_id)) is not None:
            running.recording.prolong(self._clock.monotonic_ms())

    def first_clip_done(self, incident_id: str) -> None:
        """The clip of before the verdict is written, or never will be."""
        if (running := self._running.get(incident_id) or self._ended.get(incident_id)) is not None:
            running.first_clip.set()

    def sweep(self) -> None:
        """Ends the recordings that are over."""
        now = self._clock.monotonic_ms()
        for running in list(self._running.values()):
            if running.recording.is_over(now) or running.stream.life.over or self._is_replaced(running):
                self._end(running)
        while sum(running.recording.bytes for running in self._running.values()) > self._max_bytes:
            self._end(max(self._running.values(), key=lambda running: running.recording.bytes))

    def finish(self) -> None:
        """Ends all recordings, before the gate stops."""
        for running in list(self._running.values()):
            self._end(running)

    @staticmethod
    def _is_replaced(running: _RunningRecording) -> bool:
        """Whether its stream has media of another source by now."""
        return running.stream.media is not running.media

    def _end(self, running: _RunningRecording) -> None:
        del self._running[running.incident.id]
        running.media.recordings.pop(running.incident.id, None)
        if running.recording.grown:
            self._ended[running.incident.id] = running
            self._tasks.start(self._written(running))

    async def _written(self, running: _RunningRecording) -> None:
        try:
            await self._write(running)
        finally:
            del self._ended[running.incident.id]

    async def _write(self, running: _RunningRecording) -> None:
        stream, incident = running.stream, running.incident
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.first_clip.wait(), _FIRST_CLIP_S)
        async with self._at_once, stream.evidence_lock:
            # A stream without a worker, as one that is over, is lent one to write its clip.
            lent = not stream.life.in_worker
            try:
                if lent:
                    self._pool.assign(stream.id)
                await self._send_media(stream, running.recording.kept())
                saved = self._evidence.save_clip(incident, stream.seed, stream.scores)
                longer = await self._evidence.clip(incident, saved, longer=True)
            except CapacityExceeded as error:
                self._evidence.ends_at_verdict(incident.id, str(error))
                return
            finally:
                if lent and not stream.life.in_worker:
                    self._pool.release(stream.id)
        if longer.evidence_path is not None:
            await self._evidence.rewrite_record(await self._progress.newest(longer))
