"""A stream that a worker owns: its queues, its state and the urgency of its jobs."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from edge.detect.audio.hearing import StreamHearing
from edge.detect.sight.stream_sight import StreamSight
from edge.domain import AccessUnit, Audio, Codec, Sample
from edge.policy import Policy
from edge.reasons import DegradedReason
from edge.stream import RiskFactors, StreamAudio, StreamPipeline
from edge.workers.decoding_budget import DecodingBudget, Standing

_RECOVERY: Final = 1.5
"""Speed at which media that comes in time makes up for a burst, as after a pause of the network."""
_MOST_LEAD_MS: Final = 10_000.0
_FAIRNESS: Final = 3.0
"""Most budgets by which a calm stream goes before another that was judged lately."""


_LEARN: Final = 0.3
"""Weight of the newest cost in a mean."""


class Urgency(IntEnum):
    """Order of jobs. Among equals the earliest deadline goes first."""

    ALERT = 0
    CALM = 1
    OPPORTUNISTIC = 2
    """Work beyond what is due to a stream. Preempted when it would be late."""


class WaitingAudio(NamedTuple):
    """Audio of a stream, and the monotonic time at which it came."""

    audio: Audio
    arrival_ms: float


@dataclass(slots=True)
class WorkerStream:
    """State of one stream that a worker owns."""

    id: str
    opening: int
    policy: Policy
    alert: bool
    calm: bool = False
    """Whether it was calm in another worker."""
    seed: bytes | None = field(default=None, repr=False)
    """Its secret, from which is drawn what is looked at."""
    risk_factors: RiskFactors = field(default_factory=RiskFactors)
    codec: Codec | None = None
    extradata: bytes = b""
    pipeline: StreamPipeline | None = None
    units: deque[AccessUnit] = field(default_factory=deque)
    appended: int = 0
    """Number of access units that were queued so far."""
    queued_bytes: int = 0
    samples: deque[Sample] = field(default_factory=deque)
    audio: StreamAudio | None = None
    """Decodes its audio; None until the first wanted audio comes."""
    hearing: StreamHearing | None = None
    """Hears it with the audio model; None while no model does."""
    sight: StreamSight | None = None
    """Looks at single frames of it with the frame model; None while no model does."""
    heard_ms: float = -1.0
    """Monotonic time at which the newest audio came."""
    audio_wanted: bool = False
    """Whether its audio is wanted. The source has been told so."""
    audio_queue: deque[WaitingAudio] = field(default_factory=deque)
    """Queue of audio to listen to."""
    skipping: bool = False
    """Media was lost. Nothing is decoded before the next keyframe."""
    bursting: bool = False
    """A keyframe has come, and the sample that it begins has not."""
    burst_cost_ms: float = 0.0
    """Decoding time since the newest keyframe."""
    keyframe_pts_ms: int | None = None
    """Pts of the newest queued keyframe, in the caller's own time."""
    keyframe_ms: float = -1.0
    """Monotonic time at which the newest keyframe arrived; -1 before the first."""
    gop_ms: float | None = None
    """Time between the two newest keyframes. None before the second."""
    budget: DecodingBudget = field(default_factory=DecodingBudget)
    budget_said: tuple[Standing, float] = (Standing.WITHIN, float("-inf"))
    """The last report of how it stands with its budget, and when."""
    burst_cpu_ms: float = 0.0
    """Processor time since the newest keyframe."""
    sample_cpu_ms: float = 0.0
    """Mean processor time to decode one calm sample. 0 before the first."""
    asked_alert_ms: int = 0
    """How long the supervisor wants the next access units sampled densely; 0 if it does not."""
    newest_ms: tuple[float, int] | None = None
    """Arrival and dts of the newest access unit."""
    lead_ms: float = 0.0
    """How far it came ahead of its time."""
    disorder_said: bool = False
    """Its caller knows that its stamps are out of order."""
    unit_ms: float = -1.0
    """Monotonic time at which the newest access unit arrived."""
    judged_ms: float = -1.0
    """Monotonic time of the newest verdict. Before the first: of the opening."""
    promoted: bool = False
    """It has lost samples for longer than any other stream of the worker, so its next one goes first."""
    lost_ms: float | None = None
    """Monotonic time at which media or a sample was first lost since the newest verdict. None: none was."""
    stalled_until_ms: float = -1.0
    """Monotonic time at which media resumed after a pause over the blind limit."""
    blind: bool = False
    """Its blind time is over the limit, and that has been reported."""
    ended: bool = False
    ended_ms: float = -1.0
    """Monotonic time of its end."""
    cut: bool = False
    unsaid: Counter[DegradedReason] = field(default_factory=Counter)
    """Counts by reason of what was not judged and not yet reported."""
    said_ms: float = float("-inf")
    cleared_pts_ms: int = -1

    def in_burst(self, unit: AccessUnit) -> bool:
        """Returns whether a unit that comes now belongs to the calm tier's sample."""
        if self.pipeline is None or self.keyframe_pts_ms is None:
            return True
        return unit.pts_ms - self.keyframe_pts_ms <= self.pipeline.burst_ms

    def urgency(self, *, in_burst: bool) -> Urgency:
        """Returns the urgency of a job of this stream."""
        pipeline = self.pipeline
        if pipeline is not None and pipeline.alert_due:
            return Urgency.ALERT
        opportunistic = pipeline is not None and pipeline.opportunistic and not in_burst
        return Urgency.OPPORTUNISTIC if opportunistic else Urgency.CALM

    def learn_sample_cost(self) -> None:
        """Takes the processor time since the newest keyframe as the cost of a calm sample."""
        first = not self.sample_cpu_ms
        self.sample_cpu_ms += (1.0 if first else _LEARN) * (self.burst_cpu_ms - self.sample_cpu_ms)

    def judged_at(self, now_ms: float) -> None:
        """Records a verdict."""
        self.judged_ms = now_ms
        self.blind = self.promoted = False
        self.lost_ms = None

    def append(self, unit: AccessUnit) -> None:
        """Appends the next access unit to the queue."""
        # A publisher whose connection was down has shown nothing that could be judged.
        if self.lost_ms is None and unit.arrival_ms - self.unit_ms > self.policy.tiers.blind_limit_ms:
            self.stalled_until_ms = unit.arrival_ms
        self.units.append(unit)
        self.appended += 1
        self.queued_bytes += len(unit.data)
        self.unit_ms = unit.arrival_ms
        if unit.keyframe:
            self.keyframe_pts_ms = unit.pts_ms
            if self.keyframe_ms >= 0:
                self.gop_ms = unit.arrival_ms - self.keyframe_ms
            self.keyframe_ms = unit.arrival_ms

    @property
    def taken(self) -> int:
        """Number of access units that were queued and are no more."""
        return self.appended - len(self.units)

    def is_blind(self, now_ms: float) -> bool:
        """Returns whether nothing was judged for more than the blind limit while media came.

        A caller may leave out everything between the bursts of the calm tier. Where something was lost and
        the stream ran lately, elapsed time then stands for the media.
        """
        if self.cut:
            return False
        runs = now_ms - self.unit_ms <= self.policy.tiers.blind_limit_ms
        seen_ms = now_ms if self.lost_ms is not None and runs else self.unit_ms
        limit_ms = self.policy.tiers.blind_limit_ms + self.policy.budget_ms
        return seen_ms - max(self.judged_ms, self.stalled_until_ms) > limit_ms

    @property
    def has_gap(self) -> bool:
        """Whether the stream is blind for want of a keyframe for longer than the blind limit.

        It cannot go on without one, and the broadcaster decides whether one ever comes.
        """
        if self.pipeline is None or not self.blind or not self.pipeline.gap or self.keyframe_ms < 0:
            return False
        return self.unit_ms - self.keyframe_ms > self.policy.tiers.blind_limit_ms

    def blind_share(self, at_ms: float) -> float:
        """Returns how long nothing was judged of the stream: from 0 to 1, with a half at its blind limit."""
        waited_ms = max(at_ms - self.judged_ms, 0.0)
        return waited_ms / (waited_ms + self.policy.tiers.blind_limit_ms)

    def pace(self, unit: AccessUnit) -> float:
        """Returns when the next access unit is to be decoded, by the pace of its media, in monotonic
        milliseconds.

        Media that arrives all at once must not delay what is due to other streams.
        """
        if self.newest_ms is not None:
            arrival_ms, dts_ms = self.newest_ms
            ahead_ms = self.lead_ms - _RECOVERY * (unit.arrival_ms - arrival_ms) + unit.dts_ms - dts_ms
            self.lead_ms = min(max(ahead_ms, 0.0), _MOST_LEAD_MS)
        self.newest_ms = unit.arrival_ms, unit.dts_ms
        return unit.arrival_ms + self.lead_ms

    def due_ms(self, arrival_ms: float, urgency: Urgency, *, begun: bool = False) -> float:
        """Returns the deadline of a job, in monotonic milliseconds.

        Alert streams go first: under load calm streams lose samples before any alert stream does, and
        opportunistic work is lost before either. Among calm streams those that were judged longest ago go
        first, so that all lose alike. A sample that has ``begun`` goes before them: where time is short, as
        many samples as possible are judged, and none half. Only a stream that is ``promoted`` goes before
        those, and of these there is one. What waits for two budgets is passed over, so
        offsets of a few budgets separate the classes.
        """
        budget_ms = self.policy.budget_ms
        if self.budget.is_low(arrival_ms):  # due samples of its neighbours go first
            return arrival_ms + budget_ms
        match urgency:
            case Urgency.ALERT:
                return arrival_ms - 3 * _FAIRNESS * budget_ms
            case Urgency.CALM:
                if self.promoted:
                    return arrival_ms + budget_ms * (1 - 2 * _FAIRNESS)
                return arrival_ms + budget_ms * (1 - _FAIRNESS * (self.blind_share(arrival_ms) + begun))
            case Urgency.OPPORTUNISTIC:
                return arrival_ms + budget_ms
