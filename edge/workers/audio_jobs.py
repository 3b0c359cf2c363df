"""Queues the audio of a worker's streams and listens to it when no video job is due.

It is decoded once: for known audio, and for the audio model. The queue of each stream is bounded. Known audio
goes to the stream's pipeline, which decides with its next sample. What the model hears is decided at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.clock import Clock
from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.hearing import SILENT_MS, StreamHearing
from edge.domain import Audio, Signal
from edge.match import Matcher
from edge.policy import Policy
from edge.reasons import DegradedReason
from edge.stream import Judgement, KnownAudio, StreamAudio, wanted_audio
from edge.stream.wanted_audio import WantedAudio
from edge.workers.deadline_queue import DeadlineQueue
from edge.workers.degradation_reports import DegradationReports
from edge.workers.recent_costs import RecentCost
from edge.workers.worker_stream import WaitingAudio, WorkerStream

_MOST_WAITING: Final = 8
"""Most audio messages that one stream may queue. Each holds half a second."""
_BUDGETS: Final = 2
_LATEST_BUDGETS: Final = 6
"""Budgets after its arrival until which a window of audio is still judged. A person is asked, who takes
longer than that."""


class AudioJobs:
    """Audio jobs of all streams of a worker. Runs in the loop's thread."""

    def __init__(
        self,
        matcher: Matcher,
        jobs: DeadlineQueue[Callable[[WorkerStream], None]],
        notices: DegradationReports,
        clock: Clock,
        say: Callable[[WorkerStream, Judgement, float], None],
    ) -> None:
        """``say`` tells the supervisor of a judgement by audio, and takes the arrival of the audio."""
        self.model: AudioModel | None = None
        """The audio model in force. None: there is none."""
        self._matcher = matcher
        self._jobs = jobs
        self._notices = notices
        self._clock = clock
        self._say = say
        self._cost = RecentCost()

    def wanted(self, stream: WorkerStream) -> bool:
        """Returns whether the stream's audio is of use."""
        return bool(self._wants(stream.policy)) and not (stream.audio is not None and stream.audio.off)

    def take(self, stream: WorkerStream, audio: Audio, arrival_ms: float) -> None:
        """Queues the next audio of a stream."""
        if not stream.audio_wanted or stream.pipeline is None or stream.cut:
            return
        stream.heard_ms = now = self._clock.monotonic_ms()
        if len(stream.audio_queue) >= _MOST_WAITING:
            self._notices.count(stream, DegradedReason.AUDIO_TOO_MUCH, now)
            return
        stream.audio_queue.append(WaitingAudio(audio, arrival_ms))
        # Behind all that is due. Audio takes a second and more to recognise, so a budget more is nothing.
        self._jobs.push(stream.id, now + _BUDGETS * stream.policy.budget_ms, self._hear)

    def check(self, stream: WorkerStream, now_ms: float) -> None:
        """Ends what was heard where no audio comes any more, or nobody listens."""
        if stream.hearing is not None and not stream.hearing.settled and not stream.cut:
            gone = now_ms - stream.heard_ms > SILENT_MS and not stream.audio_queue
            if gone or not self.wanted(stream):
                self._settle(stream, now_ms)

    def finish(self, stream: WorkerStream) -> None:
        """Listens to the queued audio of a stream that has ended."""
        while stream.audio_queue:
            self._hear(stream)

    def _wants(self, policy: Policy) -> WantedAudio:
        return wanted_audio(policy, self.model, self._matcher)

    def _listener(self, stream: WorkerStream) -> StreamAudio:
        """Returns what decodes the stream's audio, for those that want it now."""
        wanted = self._wants(stream.policy)
        audio = stream.audio = stream.audio or StreamAudio()
        if not wanted.known:
            audio.known = None
        elif audio.known is None:
            audio.known = KnownAudio(self._matcher)
        if self.model is None or not wanted.heard:
            audio.listener = None
        elif stream.hearing is None or not stream.hearing.fits(self.model, wanted.heard):
            if stream.hearing is not None:
                self._settle(stream, self._clock.monotonic_ms())
            stream.hearing = audio.listener = StreamHearing(self.model, wanted.heard)
        else:
            audio.listener = stream.hearing
        return audio

    def _hear(self, stream: WorkerStream) -> None:
        if not stream.audio_queue or stream.pipeline is None or stream.cut:
            stream.audio_queue.clear()
            return
        audio, arrival_ms = stream.audio_queue.popleft()
        decoder = self._listener(stream)
        stream.pipeline.hear(decoder.hear(audio, self._clock.monotonic_ms()))
        if stream.hearing is not None and decoder.listener is not None:
            self._judge_windows(stream, stream.hearing, arrival_ms)
        now = self._clock.monotonic_ms()
        for reason, count in decoder.problems.items():
            self._notices.count(stream, reason, now, count)
        decoder.problems.clear()

    def _judge_windows(self, stream: WorkerStream, hearing: StreamHearing, arrival_ms: float) -> None:
        latest_ms = arrival_ms + _LATEST_BUDGETS * stream.policy.budget_ms
        for window in hearing.waiting():
            begun_ms = self._clock.monotonic_ms()
            if window.patch is not None and begun_ms + self._cost.at(begun_ms) > latest_ms:
                hearing.pass_over(window)
                continue
            signals = hearing.judge(window)
            if window.patch is not None:
                now = self._clock.monotonic_ms()
                self._cost.add_cost(now - begun_ms, now)
            self._decide(stream, signals, arrival_ms)
        if hearing.lost:
            self._notices.count(stream, DegradedReason.AUDIO_LATE, self._clock.monotonic_ms(), hearing.lost)
            hearing.lost = 0

    def _settle(self, stream: WorkerStream, now_ms: float) -> None:
        if stream.hearing is not None and stream.pipeline is not None:
            self._decide(stream, stream.hearing.settle(stream.pipeline.newest_pts_ms), now_ms)

    def _decide(self, stream: WorkerStream, signals: tuple[Signal, ...], arrival_ms: float) -> None:
        if not signals or stream.pipeline is None or stream.cut:
            return
        judgement = stream.pipeline.judge_witness(signals, arrival_ms)
        if judgement is not None:
            self._say(stream, judgement, arrival_ms)
