"""Calm or alert: how densely a stream is sampled. Pure; time comes as media time.

Alert comes in three strengths. A *probe* of ``probe_ms`` follows a raised sample, and goes on for as long as
its samples are raised: a calm sample alone says little, and two samples more say much. A *hold* of
``alert_hold_ms`` follows what stands: scores that call for a FLAG, known footage, or what the gate asks
for. Both are due to the stream. What a stream gets beyond that is *voluntary*: its beginning, of which
nothing is known yet (``start_alert_ms``), what is wished beyond what is asked for, and the beginning of each
GOP while the worker has time to spare. Voluntary alert gives way to everything else, up to the next keyframe.
"""

from __future__ import annotations

from edge.decide import Suspicion
from edge.domain import Tier
from edge.policy import TierPolicy


class TierState:
    """State of one stream: ``at`` for each access unit in decoding order, ``observe`` for each judgement."""

    def __init__(self, tiers: TierPolicy, *, alert: bool = False, calm: bool = False) -> None:
        """``calm``: it is not new, but was calm in another worker."""
        self._tiers = tiers
        self._start_ms = 0 if calm else tiers.start_alert_ms
        self._asked_ms: int | None = 0 if alert else None
        self._asked_wish_ms = 0
        self._wish_until_ms: int | None = None
        self._due_until_ms: int | None = None
        self._start_until_ms: int | None = None
        self._observed_ms: int | None = None
        self._keyframe_ms: int | None = None
        self._spare_ms = 0
        self._tier: Tier | None = None
        self._gave_way = False
        self._now_ms = 0

    @property
    def due(self) -> bool:
        """Whether alert is due to the stream just now: probe or hold."""
        return self._due_until_ms is not None and self._now_ms < self._due_until_ms

    @property
    def opportunistic(self) -> bool:
        """Whether it is in alert just now, and not because that is due to it."""
        return self._tier is Tier.ALERT and not self.due

    @property
    def dense(self) -> bool:
        """Whether it is in alert without an end in sight: alert is due, or it has begun lately."""
        return self.due or ((self.starting or self._wished) and not self._gave_way)

    @property
    def starting(self) -> bool:
        """Whether it began less than ``start_alert_ms`` ago."""
        if self._start_until_ms is None:
            return self._start_ms > 0
        return self._now_ms < self._start_until_ms

    @property
    def spare_ms(self) -> int:
        """Media time from each keyframe on that is looked at densely, as the worker has time to spare."""
        return self._spare_ms

    def at(self, pts_ms: int, keyframe: bool = False) -> Tier:
        """Tier of media at ``pts_ms``; the first call starts the stream's time."""
        self._now_ms = pts_ms
        if self._start_until_ms is None:
            self._start_until_ms = pts_ms + self._start_ms
        if keyframe:
            self._keyframe_ms, self._gave_way = pts_ms, False
        if self._asked_ms is not None:
            hold_ms, self._asked_ms = self._asked_ms, None
            self._hold(pts_ms, hold_ms or self._tiers.alert_hold_ms)
            self._wish_until_ms = pts_ms + self._asked_wish_ms
        self._tier = Tier.ALERT if self.due or self._volunteers else Tier.CALM
        return self._tier

    def observe(self, pts_ms: int, suspicion: Suspicion) -> Tier:
        """Takes note of a judged sample, of any tier, and says which tier follows."""
        if suspicion is Suspicion.STANDING:
            self._hold(pts_ms, self._tiers.alert_hold_ms)
        elif suspicion is Suspicion.RAISED:
            self._hold(pts_ms, self._look_ms)
        self._observed_ms = pts_ms
        return self.at(max(pts_ms, self._now_ms))

    def unjudged(self, pts_ms: int) -> None:
        """A sample is lost, and clears nothing: alert that was due at it goes on to the next one, up to
        ``blind_limit_ms`` after the newest judged sample. A worker that cannot keep up then looks at the
        stream as it can."""
        lost_too_many = pts_ms - (self._observed_ms or 0) > self._tiers.blind_limit_ms
        if self._due_until_ms is not None and pts_ms < self._due_until_ms and not lost_too_many:
            self._hold(pts_ms, self._look_ms)

    @property
    def _look_ms(self) -> int:
        """A probe: long enough for the next sample, whatever their distance."""
        return max(self._tiers.probe_ms, self._tiers.alert_interval_ms * 3 // 2)

    def ask(self, hold_ms: int | None = None, *, wish_ms: int = 0) -> None:
        """Alert from the next access unit on, whatever the scores, for ``alert_hold_ms`` or as given; and
        voluntarily for ``wish_ms`` in all."""
        self._asked_ms, self._asked_wish_ms = hold_ms or 0, wish_ms

    def spare(self, ms: int) -> None:
        """From the next keyframe on, the first ``ms`` of each GOP are looked at densely; 0: none."""
        self._spare_ms = ms

    def preempt(self) -> None:
        """No voluntary alert before the next keyframe."""
        self._gave_way = True
        self._tier = Tier.ALERT if self.due else Tier.CALM

    def set_policy(self, tiers: TierPolicy) -> None:
        self._tiers = tiers

    @property
    def _volunteers(self) -> bool:
        if self._gave_way:
            return False
        if self.starting or self._wished:
            return True
        if self._keyframe_ms is None or not 0 <= self._now_ms - self._keyframe_ms < self._spare_ms:
            return False
        # A calm stream's first sample of a GOP is a calm one: alone it says more to the calm tier's judge.
        return self._tier is Tier.ALERT or self._now_ms - self._keyframe_ms > self._tiers.burst_ms

    @property
    def _wished(self) -> bool:
        return self._wish_until_ms is not None and self._now_ms < self._wish_until_ms

    def _hold(self, pts_ms: int, hold_ms: int) -> None:
        # At least one millisecond: a hold of 0 must still sample what asked for it.
        until = pts_ms + max(hold_ms, 1)
        self._due_until_ms = max(self._due_until_ms or until, until)
