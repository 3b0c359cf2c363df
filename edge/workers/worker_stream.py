"""A stream that a worker owns: what waits of it, what became of it, and how urgent its jobs are."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from edge.domain import AccessUnit, Audio, Codec, Sample
from edge.policy import Policy
from edge.reasons import DegradedReason
from edge.stream import PullSource, StreamPipeline
from edge.stream.audio import StreamAudio

_FAIRNESS: Final = 3.0
"""How many budgets a calm stream goes before another that has been judged lately, at most."""


class Urgency(IntEnum):
    """Which jobs go first; among equals the earliest deadline."""

    ALERT = 0
    CALM = 1
    OPPORTUNISTIC = 2
    """Beyond what is due to a stream: gives way when it would be late."""


@dataclass(slots=True)
class WorkerStream:
    """State of one stream that a worker owns."""

    id: str
    opening: int
    policy: Policy
    alert: bool
    calm: bool = False
    """It was calm in another worker."""
    codec: Codec | None = None
    extradata: bytes = b""
    pipeline: StreamPipeline | None = None
    pull: PullSource | None = None
    units: deque[AccessUnit] = field(default_factory=deque)
    queued_bytes: int = 0
    samples: deque[Sample] = field(default_factory=deque)
    audio: StreamAudio | None = None
    """What listens to it; None before any sound has come that is wanted."""
    audio_wanted: bool = False
    """Its sound is of use; whoever brings it has been told so."""
    sound: deque[Audio] = field(default_factory=deque)
    """Sound that waits to be listened to."""
    skipping: bool = False
    """Media was lost: nothing is decoded before the next keyframe."""
    bursting: bool = False
    """A keyframe has come and the sample that follows from it has not."""
    burst_cost_ms: float = 0.0
    """What decoding has cost since the newest keyframe."""
    keyframe_pts_ms: int | None = None
    """Of the newest keyframe that was queued, in the caller's own time."""
    keyframe_ms: float = -1.0
    """Monotonic time at which the newest keyframe arrived; -1 before the first."""
    asked_alert_ms: int = 0
    """The supervisor wants the next access units looked at densely, for so long."""
    unit_ms: float = -1.0
    """Monotonic time at which the newest access unit arrived."""
    judged_ms: float = -1.0
    """Monotonic time of the newest verdict, or of the opening; of a pull, once its server has answered."""
    lost: bool = False
    """Media or a sample was lost since the newest verdict."""
    stalled_until_ms: float = -1.0
    """Monotonic time at which media came again after none had come for longer than the blind limit."""
    blind: bool = False
    """Its blind time is past the limit, and that has been said."""
    ended: bool = False
    ended_ms: float = -1.0
    """Monotonic time of its end."""
    cut: bool = False
    evidence_kept: bool = False
    lingers_until_ms: float | None = None
    """It has ended after its CUT, and only waits to be asked for evidence."""
    unsaid: Counter[DegradedReason] = field(default_factory=Counter)
    """What was not judged, by reason, and has not been told."""
    said_ms: float = float("-inf")
    cleared_pts_ms: int = -1

    def in_burst(self, unit: AccessUnit) -> bool:
        """Whether a unit that comes now is part of what the calm tier's sample is made of."""
        if self.pipeline is None or self.keyframe_pts_ms is None:
            return True
        return unit.pts_ms - self.keyframe_pts_ms <= self.pipeline.burst_ms

    def urgency(self, *, in_burst: bool) -> Urgency:
        """Of a job of this stream."""
        pipeline = self.pipeline
        if pipeline is not None and pipeline.alert_due:
            return Urgency.ALERT
        opportunistic = pipeline is not None and pipeline.opportunistic and not in_burst
        return Urgency.OPPORTUNISTIC if opportunistic else Urgency.CALM

    def judged_at(self, now_ms: float) -> None:
        """Takes note of a verdict."""
        self.judged_ms = now_ms
        self.blind = self.lost = False

    def append(self, unit: AccessUnit) -> None:
        """Takes the next access unit into its queue."""
        # A publisher whose line was down has shown nothing that could have been judged.
        if not self.lost and unit.arrival_ms - self.unit_ms > self.policy.tiers.blind_limit_ms:
            self.stalled_until_ms = unit.arrival_ms
        self.units.append(unit)
        self.queued_bytes += len(unit.data)
        self.unit_ms = unit.arrival_ms
        if unit.keyframe:
            self.keyframe_pts_ms = unit.pts_ms
            self.keyframe_ms = unit.arrival_ms

    def is_blind(self, now_ms: float) -> bool:
        """Whether nothing has been judged for more than its blind limit while media came.

        Between the bursts of calm tier a caller may leave everything out: then the time that passes stands
        for the media, where something was lost and the stream still ran lately.
        """
        if self.cut:
            return False
        runs = now_ms - self.unit_ms <= self.policy.tiers.blind_limit_ms
        seen_ms = now_ms if self.lost and runs else self.unit_ms
        limit_ms = self.policy.tiers.blind_limit_ms + self.policy.budget_ms
        return seen_ms - max(self.judged_ms, self.stalled_until_ms) > limit_ms

    @property
    def has_gap(self) -> bool:
        """Whether it is blind as there is no way on without a keyframe, and none has come for longer than its
        blind limit: who broadcasts chooses whether one ever does."""
        if self.pipeline is None or not self.blind or not self.pipeline.gap or self.keyframe_ms < 0:
            return False
        return self.unit_ms - self.keyframe_ms > self.policy.tiers.blind_limit_ms

    def blind_share(self, at_ms: float) -> float:
        """How long nothing has been judged of it: from 0 to 1, and a half at its blind limit."""
        waited_ms = max(at_ms - self.judged_ms, 0.0)
        return waited_ms / (waited_ms + self.policy.tiers.blind_limit_ms)

    def due_ms(self, arrival_ms: float, urgency: Urgency, *, begun: bool = False) -> float:
        """Alert streams go first: under load calm ones lose samples before any alert one does, and what
        is voluntary goes before either loses any. Of the calm ones those go first that nothing was judged
        of for longest, so that all lose alike, and before them those whose sample is ``begun``: where there
        is not time for all, as many as can be are judged, and none half. What has waited for two budgets is
        passed over, so a few budgets set the strengths apart."""
        budget_ms = self.policy.budget_ms
        match urgency:
            case Urgency.ALERT:
                return arrival_ms - 3 * _FAIRNESS * budget_ms
            case Urgency.CALM:
                return arrival_ms + budget_ms * (1 - _FAIRNESS * (self.blind_share(arrival_ms) + begun))
            case Urgency.OPPORTUNISTIC:
                return arrival_ms + budget_ms
