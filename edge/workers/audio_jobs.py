"""Queues the audio of a worker's streams and fingerprints it when no video job is due.

The queue of each stream is bounded. What the audio matches goes to the stream's pipeline, which decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.clock import Clock
from edge.domain import Action, Audio
from edge.match import Matcher, available
from edge.reasons import DegradedReason
from edge.stream import KnownSound, StreamAudio
from edge.workers.deadline_queue import DeadlineQueue
from edge.workers.degradation_reports import DegradationReports
from edge.workers.worker_stream import WorkerStream

_MOST_WAITING: Final = 8
"""Most audio messages that one stream may queue. Each holds half a second."""
_BUDGETS: Final = 2


class AudioJobs:
    """Audio jobs of all streams of a worker. Runs in the loop's thread."""

    def __init__(
        self,
        matcher: Matcher,
        jobs: DeadlineQueue[Callable[[WorkerStream], None]],
        notices: DegradationReports,
        clock: Clock,
    ) -> None:
        self._matcher = matcher
        self._jobs = jobs
        self._notices = notices
        self._clock = clock

    def wanted(self, stream: WorkerStream) -> bool:
        """Returns whether the stream's audio could lead to a match."""
        match = stream.policy.match
        wanted = match.enabled and match.sound_action is not Action.PASS and self._matcher.has_audio
        return wanted and available() and not (stream.audio is not None and stream.audio.off)

    def take(self, stream: WorkerStream, audio: Audio) -> None:
        """Queues the next audio of a stream."""
        if not stream.audio_wanted or stream.pipeline is None or stream.cut:
            return
        if len(stream.audio_queue) >= _MOST_WAITING:
            self._notices.count(stream, DegradedReason.AUDIO_TOO_MUCH, self._clock.monotonic_ms())
            return
        stream.audio_queue.append(audio)
        self._later(stream)

    def finish(self, stream: WorkerStream) -> None:
        """Matches the queued audio of a stream that has ended."""
        while stream.audio_queue:
            self._hear(stream)

    def _later(self, stream: WorkerStream) -> None:
        """Schedules a job behind all that is due. Known audio takes seconds to recognise, so one budget
        more does not matter."""
        now = self._clock.monotonic_ms()
        self._jobs.push(stream.id, now + _BUDGETS * stream.policy.budget_ms, self._hear)

    def _hear(self, stream: WorkerStream) -> None:
        if not stream.audio_queue or stream.pipeline is None or stream.cut:
            stream.audio_queue.clear()
            return
        if stream.audio is None:
            stream.audio = StreamAudio(KnownSound(self._matcher))
        now = self._clock.monotonic_ms()
        stream.pipeline.hear(stream.audio.hear(stream.audio_queue.popleft(), now))
        for reason, count in stream.audio.problems.items():
            self._notices.count(stream, reason, now, count)
        stream.audio.problems.clear()
