"""Judges single frames of a worker's streams with the frame model, behind their samples.

Decoding shows a stream's sight the frames that are due, which scales them at once. What they say is decided
at once, too: the next sample of a calm stream may be seconds away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.clock import Clock
from edge.detect.sight.frame_model import FrameModel
from edge.detect.sight.stream_sight import StreamSight
from edge.domain import Signal
from edge.reasons import DegradedReason
from edge.stream import Judgement
from edge.telemetry.distributions import Distributions
from edge.workers.deadline_queue import DeadlineQueue
from edge.workers.degradation_reports import DegradationReports
from edge.workers.recent_costs import RecentCost
from edge.workers.worker_stream import WorkerStream

_DUE_BUDGETS: Final = 0.5
"""Budgets after its arrival at which a frame is due: behind samples that came with it, before what nobody
is owed."""
_GUESS_MS: Final = 8.0


class FrameJobs:
    """Frame jobs of all streams of a worker. Runs in the loop's thread."""

    def __init__(
        self,
        jobs: DeadlineQueue[Callable[[WorkerStream], None]],
        notices: DegradationReports,
        times: Distributions,
        clock: Clock,
        say: Callable[[WorkerStream, Judgement, float], None],
    ) -> None:
        """``say`` tells the supervisor of a judgement by a frame, and takes the arrival of the frame."""
        self.model: FrameModel | None = None
        """The frame model in force. None: there is none."""
        self._jobs = jobs
        self._notices = notices
        self._times = times
        self._clock = clock
        self._say = say
        self._cost = RecentCost(_GUESS_MS)

    def follow(self, stream: WorkerStream) -> None:
        """Looks at the stream with the model in force, for the categories that its policy has on.

        Without any, no frame is scaled for it. Call it when the stream opens, and when model or policy
        changes.
        """
        if stream.pipeline is None:
            return
        on = frozenset[str]()
        if self.model is not None:
            on = frozenset(self.model.categories).intersection(stream.policy.judged)
        if stream.sight is not None and not stream.sight.fits(self.model, on):
            signals = stream.sight.settle(stream.pipeline.newest_pts_ms)
            stream.sight = None
            self._decide(stream, signals, self._clock.monotonic_ms())
        if stream.sight is None and self.model is not None and on:
            stream.sight = StreamSight(self.model, on)
        stream.pipeline.show(stream.sight)

    def queue(self, stream: WorkerStream) -> None:
        """Queues the frames that decoding has shown."""
        if stream.sight is not None and stream.sight.came:
            stream.sight.came = False
            due_ms = self._clock.monotonic_ms() + _DUE_BUDGETS * stream.policy.budget_ms
            self._jobs.push(stream.id, due_ms, self.finish)

    def check(self, stream: WorkerStream, now_ms: float) -> None:
        """Ends what was seen where no frame was judged for long."""
        if stream.sight is not None and stream.pipeline is not None and not stream.cut:
            self._decide(stream, stream.sight.expire(stream.pipeline.newest_pts_ms), now_ms)

    def finish(self, stream: WorkerStream) -> None:
        """Judges the frames that wait, as far as they are in time."""
        sight, pipeline = stream.sight, stream.pipeline
        if sight is None or pipeline is None:
            return
        for picture in sight.waiting():
            if stream.cut:
                continue
            begun_ms = self._clock.monotonic_ms()
            # What is left in a decoder at the end of a stream could not be judged before.
            arrival_ms = max(picture.arrival_ms, stream.ended_ms)
            if begun_ms + self._cost.at(begun_ms) > arrival_ms + stream.policy.budget_ms:
                sight.pass_over(picture)
                continue
            signals = sight.judge(picture)
            now = self._clock.monotonic_ms()
            self._cost.add_cost(now - begun_ms, now)
            self._times.picture.observe(now - begun_ms)
            if sight.goes_on:
                pipeline.ask_alert(sight.look_again_ms)
            self._decide(stream, signals, picture.arrival_ms)
        if sight.lost:
            self._notices.count(stream, DegradedReason.PICTURE_LATE, self._clock.monotonic_ms(), sight.lost)
            sight.lost = 0

    def _decide(self, stream: WorkerStream, signals: tuple[Signal, ...], arrival_ms: float) -> None:
        if not signals or stream.pipeline is None or stream.cut:
            return
        judgement = stream.pipeline.judge_witness(signals, arrival_ms)
        if judgement is not None:
            self._say(stream, judgement, arrival_ms)
