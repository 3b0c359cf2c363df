"""Decides how densely a stream is sampled: calm or alert. Pure: time comes in as media time.

Alert has three strengths. A *probe* of ``probe_ms`` follows a raised sample. It continues while its samples
are raised: a single calm sample proves little, and two more prove much. A *hold* of ``alert_hold_ms``
follows lasting evidence: scores that call for a FLAG, known footage, or a request of the gate. Probe and
hold are due to the stream. All further alert is *voluntary*: the beginning of a stream, of which nothing is
known yet (``start_alert_ms``), wishes beyond a request, and the start of each GOP while the worker has
spare time. Voluntary alert gives way to everything else, until the next keyframe.

How much of a GOP is sampled in spare time is drawn, so that no part of a GOP is safe for a publisher.
"""

from __future__ import annotations

import math

from edge.decide import Suspicion
from edge.domain import Tier
from edge.policy import TierPolicy
from edge.stream.draws import Draws, Purpose


class TierState:
    """The tier of one stream. Call ``at`` for each access unit in decoding order, ``observe`` for each
    judgement."""

    def __init__(
        self, tiers: TierPolicy, draws: Draws | None = None, *, alert: bool = False, calm: bool = False
    ) -> None:
        """``calm``: the stream is not new, but was calm in another worker. Without ``draws`` the same part of
        each GOP is sampled in spare time."""
        self._tiers = tiers
        self._draws = draws
        self._start_ms = 0 if calm else tiers.start_alert_ms
        self._asked_ms: int | None = 0 if alert else None
        self._asked_wish_ms = 0
        self._wish_until_ms: int | None = None
        self._due_until_ms: int | None = None
        self._start_until_ms: int | None = None
        self._observed_ms: int | None = None
        self._keyframe_ms: int | None = None
        self._granted_ms = self._spare_ms = 0
        self._tier: Tier | None = None
        self._gave_way = False
        self._now_ms = 0

    @property
    def due(self) -> bool:
        """Whether alert is due at the moment, by probe or hold."""
        return self._due_until_ms is not None and self._now_ms < self._due_until_ms

    @property
    def opportunistic(self) -> bool:
        """Whether the stream is in voluntary alert only."""
        return self._tier is Tier.ALERT and not self.due

    @property
    def dense(self) -> bool:
        """Whether alert goes beyond the start of a GOP: it is due, wished for, or the stream is new."""
        return self.due or ((self.starting or self._wished) and not self._gave_way)

    @property
    def starting(self) -> bool:
        """Whether the stream began less than ``start_alert_ms`` ago."""
        if self._start_until_ms is None:
            return self._start_ms > 0
        return self._now_ms < self._start_until_ms

    @property
    def spare_ms(self) -> int:
        """Media time after the newest keyframe that is sampled densely, because the worker has spare time."""
        return self._spare_ms

    def at(self, pts_ms: int, keyframe: bool = False) -> Tier:
        """Returns the tier of media at ``pts_ms``. The first call starts the stream's time."""
        self._now_ms = pts_ms
        if self._start_until_ms is None:
            self._start_until_ms = pts_ms + self._start_ms
        if keyframe:
            self._keyframe_ms, self._gave_way = pts_ms, False
            self._spare_ms = self._drawn_ms(pts_ms)
        if self._asked_ms is not None:
            hold_ms, self._asked_ms = self._asked_ms, None
            self._hold(pts_ms, hold_ms or self._tiers.alert_hold_ms)
            self._wish_until_ms = pts_ms + self._asked_wish_ms
        self._tier = Tier.ALERT if self.due or self._volunteers else Tier.CALM
        return self._tier

    def observe(self, pts_ms: int, suspicion: Suspicion) -> Tier:
        """Takes a judged sample of any tier. Returns the tier that follows."""
        if suspicion is Suspicion.STANDING:
            self._hold(pts_ms, self._tiers.alert_hold_ms)
        elif suspicion is Suspicion.RAISED:
            self._hold(pts_ms, self._look_ms)
        self._observed_ms = pts_ms
        return self.at(max(pts_ms, self._now_ms))

    def unjudged(self, pts_ms: int) -> None:
        """Takes a lost sample, which clears nothing. Alert that was due then continues to the next sample.

        It continues for at most ``blind_limit_ms`` after the newest judged sample. Beyond that, a worker
        that cannot keep up samples the stream as it can.
        """
        lost_too_many = pts_ms - (self._observed_ms or 0) > self._tiers.blind_limit_ms
        if self._due_until_ms is not None and pts_ms < self._due_until_ms and not lost_too_many:
            self._hold(pts_ms, self._look_ms)

    @property
    def _look_ms(self) -> int:
        """Length of a probe. It always reaches the next sample."""
        return max(self._tiers.probe_ms, self._tiers.alert_interval_ms * 3 // 2)

    def ask(self, hold_ms: int | None = None, *, wish_ms: int = 0) -> None:
        """Asks for alert from the next access unit on, whatever the scores.

        It is due for ``hold_ms``, by default ``alert_hold_ms``, and voluntary up to ``wish_ms`` in total.
        """
        self._asked_ms, self._asked_wish_ms = hold_ms or 0, wish_ms

    def spare(self, ms: int) -> None:
        """Samples about the first ``ms`` of each GOP densely, from the next keyframe on. 0 means none."""
        self._granted_ms = ms
        if self._draws is None or self._keyframe_ms is None or not ms:
            self._spare_ms = ms

    def preempt(self) -> None:
        """Ends voluntary alert until the next keyframe."""
        self._gave_way = True
        self._tier = Tier.ALERT if self.due else Tier.CALM

    def set_policy(self, tiers: TierPolicy) -> None:
        self._tiers = tiers

    def _drawn_ms(self, pts_ms: int) -> int:
        """Draws how much of a GOP is sampled densely: on average what is granted, now and then all of it."""
        if self._draws is None:
            return self._granted_ms
        share = self._draws.share(Purpose.SPARE, pts_ms)
        return round(-self._granted_ms * math.log(1 - share))

    @property
    def _volunteers(self) -> bool:
        if self._gave_way:
            return False
        if self.starting or self._wished:
            return True
        if self._keyframe_ms is None or not 0 <= self._now_ms - self._keyframe_ms < self._spare_ms:
            return False
        # The first sample of a calm stream's GOP stays calm: a single sample is judged better in the calm
        # tier.
        return self._tier is Tier.ALERT or self._now_ms - self._keyframe_ms > self._tiers.burst_ms

    @property
    def _wished(self) -> bool:
        return self._wish_until_ms is not None and self._now_ms < self._wish_until_ms

    def _hold(self, pts_ms: int, hold_ms: int) -> None:
        # At least one millisecond, so that a hold of 0 still samples the media that asked for it.
        until = pts_ms + max(hold_ms, 1)
        self._due_until_ms = max(self._due_until_ms or until, until)
