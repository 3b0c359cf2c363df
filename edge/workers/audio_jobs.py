"""Sound of a worker's streams: it waits, bounded, is listened to when nothing is due, and ends up with the
pipeline that decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.clock import Clock
from edge.domain import Action, Audio
from edge.match import Matcher, available
from edge.reasons import DegradedReason
from edge.stream.audio import StreamAudio
from edge.workers.deadline_queue import DeadlineQueue
from edge.workers.degradation_reports import DegradationReports
from edge.workers.worker_stream import WorkerStream

_MOST_WAITING: Final = 8
"""Messages of one stream that wait, of half a second each."""
_BUDGETS: Final = 2


class AudioJobs:
    """Of all streams of a worker; used from the loop's thread."""

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
        """Whether anything could come of listening to it."""
        match = stream.policy.match
        wanted = match.enabled and match.sound_action is not Action.PASS and self._matcher.has_sound
        return wanted and available() and not (stream.audio is not None and stream.audio.off)

    def take(self, stream: WorkerStream, audio: Audio) -> None:
        """The next of a stream's sound."""
        if not stream.audio_wanted or stream.pipeline is None or stream.cut:
            return
        if len(stream.sound) >= _MOST_WAITING:
            self._notices.count(stream, DegradedReason.AUDIO_TOO_MUCH, self._clock.monotonic_ms())
            return
        stream.sound.append(audio)
        self._later(stream)

    def finish(self, stream: WorkerStream) -> None:
        """Listens to what waits: the stream is over."""
        while stream.sound:
            self._hear(stream)

    def _later(self, stream: WorkerStream) -> None:
        """After all that is due: known sound takes seconds to be told, and one budget more is nothing."""
        now = self._clock.monotonic_ms()
        self._jobs.push(stream.id, now + _BUDGETS * stream.policy.budget_ms, self._hear)

    def _hear(self, stream: WorkerStream) -> None:
        if not stream.sound or stream.pipeline is None or stream.cut:
            stream.sound.clear()
            return
        if stream.audio is None:
            stream.audio = StreamAudio(self._matcher)
        now = self._clock.monotonic_ms()
        stream.pipeline.hear(stream.audio.hear(stream.sound.popleft(), now))
        for reason, count in stream.audio.problems.items():
            self._notices.count(stream, reason, now, count)
        stream.audio.problems.clear()
