"""Which access units are decoded. Pure: no media, no clock.

Calm tier: the few units from each keyframe on that one sample needs (a burst) are decoded, and everything
else is skipped undecoded. Alert tier: every unit is decoded, and a sample is taken each
``alert_interval_ms``.

The skipped units of the running GOP are the backlog. It is decoded, at most ``CATCH_UP_UNITS`` for each
unit that arrives, when alert is entered in mid-GOP and when the GOP would otherwise pass
``blind_limit_ms`` without a sample. After a GOP that long, calm tier goes on decoding in step: the whole
GOP has to be decoded anyway, and then better not in waves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from edge.domain import Tier
from edge.policy import TierPolicy
from edge.stream.frame_roles import FrameRoles, Schedule

BURST_UNITS = 32
"""Most access units that one calm burst decodes, whatever the frame rate."""
BURST_FRAMES = 26
"""Frames after which a burst makes its sample of what it has: 200 ms at 120 fps, and room for reordering."""
CATCH_UP_UNITS = 8
"""Most skipped units decoded for each unit that arrives."""
CALM_INTERVAL_MS = 900
"""Least media time from burst to burst: streams of very short GOPs are not decoded whole."""
ALERT_FRAMES = 32
"""Alert: most frames from sample to sample, so that stamps that crawl do not blind the gate."""
BLIND_UNITS = 320
"""Calm: most units from sample to sample, for the same reason."""
SPREAD_FRAMES = 4
"""Distance of the frames of a sample that is taken by count."""


class Disposition(Enum):
    """What becomes of an access unit."""

    DROP = "drop"
    """There is no keyframe before it."""
    SKIP = "skip"
    """Not needed now; it joins the backlog."""
    DECODE = "decode"
    RESTART = "restart"
    """Decode as the first after skipped units: the decoder must forget what it holds."""
    CATCH_UP = "catch_up"
    """It joins the backlog, and the oldest ``UnitPlan.backlog`` units of that are decoded."""


@dataclass(frozen=True, slots=True)
class UnitPlan:
    feed: Disposition
    backlog: int = 0


_DROP, _SKIP, _DECODE, _RESTART = (
    UnitPlan(f) for f in (Disposition.DROP, Disposition.SKIP, Disposition.DECODE, Disposition.RESTART)
)


class Sampler:
    """State of one stream: ``unit`` for each access unit in decoding order, ``frame`` for each decoded
    frame in display order."""

    def __init__(self, tiers: TierPolicy, delta_ms: int) -> None:
        self._tiers = tiers
        self._delta_ms = delta_ms
        self._schedule = Schedule(delta_ms)
        self._tier: Tier | None = None
        self._backlog = 0
        self._catching_up = False
        self._gop_start_ms: int | None = None
        self._gop_units = 0
        self._unit_pts_ms = 0
        self._long_gops = False
        self._distrusted = False
        self._burst_start_ms: int | None = None
        self._burst_pts: list[int] = []  # of the units of the running burst
        self._sampled_ms: int | None = None
        self._units_unsampled = 0
        self._frames_unsampled = 0
        self._samples = 0

    @property
    def decodes_all(self) -> bool:
        """Whether every unit is needed just now, whatever the tier."""
        return self._tier is None or self._long_gops or self._catching_up

    @property
    def wants_samples(self) -> bool:
        """Whether frames that are decoded now are for a sample."""
        return self._schedule.running

    @property
    def oldest_kept_ms(self) -> int | None:
        """Planes of frames before it will not be asked for again."""
        return self._schedule.oldest_kept_ms

    def set_policy(self, tiers: TierPolicy) -> None:
        """Takes effect with the next access unit."""
        self._tiers = tiers

    def distrust_keyframes(self) -> None:
        """What was marked as a keyframe is none: from here on nothing is skipped."""
        self._distrusted = self._long_gops = True

    def unit(self, pts_ms: int, keyframe: bool, tier: Tier) -> UnitPlan:
        """What to do with the next access unit."""
        if self._gop_start_ms is None and not keyframe:
            return _DROP
        self._tier = tier
        self._unit_pts_ms = pts_ms
        self._units_unsampled += 1
        if self._sampled_ms is None:
            self._sampled_ms = pts_ms
        if tier is Tier.ALERT:
            self._burst_pts.clear()
        if keyframe:
            return self._keyframe(pts_ms)
        self._gop_units += 1
        return self._alert(pts_ms) if tier is Tier.ALERT else self._calm(pts_ms)

    def lacked(self, pts_ms: int) -> None:
        """The next access unit comes only now because it was not needed: it joins the backlog."""
        self._unit_pts_ms = pts_ms
        self._units_unsampled += 1
        self._gop_units += 1
        self._burst_pts.clear()
        self._skip()

    def frame(self, pts_ms: int) -> FrameRoles:
        """What the next decoded frame is for."""
        if not self._schedule.running:
            return self._schedule.frame(pts_ms)
        self._frames_unsampled += 1
        limit = BURST_FRAMES if self._burst_pts else ALERT_FRAMES if self._tier is Tier.ALERT else BLIND_UNITS
        left = limit - self._frames_unsampled
        taps = self._schedule.frame(pts_ms, want=left in (SPREAD_FRAMES, 2 * SPREAD_FRAMES), force=left <= 0)
        if taps.sample is not None:
            self._sampled_ms = taps.sample[2]
            self._units_unsampled = self._frames_unsampled = 0
            self._burst_pts.clear()
            self._samples += 1
        return taps

    def follow(self, delta_ms: int, pts_ms: int) -> None:
        """Another model takes the samples from the unit at ``pts_ms`` on."""
        self._delta_ms = delta_ms
        self._burst_pts.clear()
        self._schedule.follow(delta_ms, pts_ms)

    def begin_anew(self, pts_ms: int) -> None:
        """The picture has another size from ``pts_ms`` on, and its frames do not go with those before. A
        stream that changes all the time is sampled across its changes."""
        if self._frames_unsampled <= ALERT_FRAMES // 2:
            self._schedule.begin_anew(pts_ms)

    @property
    def burst_units(self) -> int:
        """Units of the running calm burst so far; 0 when none is running."""
        return len(self._burst_pts)

    @property
    def burst_is_fed(self) -> bool:
        """Whether every frame of the burst's sample is in the decoder, held back or not.

        Known without waiting for the frames to come out where the stamps leave no gap.
        """
        end_ms = self._schedule.end_ms
        if end_ms is None or len(self._burst_pts) < 3:
            return False
        times = sorted(self._burst_pts)
        gaps = [after - before for before, after in pairwise(times)]
        interval_ms = min(gaps)
        for count, gap in enumerate(gaps, start=1):
            if gap > 1.5 * interval_ms:
                return False
            if count >= 2 and times[count] + interval_ms // 2 >= end_ms:
                return True
        return False

    def drained(self, units: int) -> None:
        """The decoder was emptied to end a burst of so many units and has lost its references: they are
        the beginning of the backlog."""
        self._burst_pts.clear()
        self._schedule.stop()
        self._schedule.skip()
        self._backlog = units

    def lost(self) -> None:
        """The units that follow in this GOP cannot be decoded; the next one given is a keyframe."""
        self.drained(max(self._backlog, 1))
        self._catching_up = False

    def finish(self) -> tuple[int, int, int] | None:
        """At the end of a stream too short for one sample: the frames that it had."""
        return None if self._samples else self._schedule.leftovers()

    @property
    def _inner_interval_ms(self) -> int:
        """Calm, in GOPs longer than the blind limit: half of it, so that one lost sample does no harm."""
        return max(self._tiers.blind_limit_ms // 2, 1)

    def _keyframe(self, pts_ms: int) -> UnitPlan:
        in_step = self._backlog == 0
        if self._gop_start_ms is not None:
            gop_ms = pts_ms - self._gop_start_ms
            self._long_gops = self._distrusted or gop_ms > self._tiers.blind_limit_ms
        first = self._gop_start_ms is None
        self._gop_start_ms, self._gop_units = pts_ms, 1
        calm = self._tier is not Tier.ALERT
        bursting = in_step and bool(self._burst_pts)
        if calm and not self._long_gops and not bursting and self._too_early(pts_ms):
            self._backlog, self._catching_up = 0, False
            return self._skip()
        self._backlog, self._catching_up = 0, False
        if not in_step:
            self._schedule.skip()
            self._schedule.stop()
        if bursting:
            self._burst_pts.append(pts_ms)
        elif not calm:
            self._follow(pts_ms, self._tiers.alert_interval_ms, fresh=first or not in_step)
        elif self._long_gops:
            self._follow(pts_ms, self._inner_interval_ms, fresh=first or not in_step)
        else:
            self._start_burst(pts_ms)
        return _DECODE if in_step else _RESTART

    def _alert(self, pts_ms: int) -> UnitPlan:
        if self._backlog == 0:
            self._schedule.repeat(self._tiers.alert_interval_ms, pts_ms)
            return _DECODE
        if not self._catching_up:
            self._begin_catching_up(pts_ms, self._tiers.alert_interval_ms)
            self._frames_unsampled = -self._backlog  # it is for the references, not for samples
        self._schedule.repeat(self._tiers.alert_interval_ms, pts_ms)
        return self._catch_up()

    def _calm(self, pts_ms: int) -> UnitPlan:
        gop_ms = pts_ms - (self._gop_start_ms or 0)
        if self._backlog > 0:
            if not self._catching_up:
                if not self._overdue(pts_ms):
                    return self._skip()
                self._begin_catching_up(pts_ms, self._inner_interval_ms)
            self._long_gops = True
            return self._catch_up()
        if gop_ms > self._tiers.blind_limit_ms:
            self._long_gops = True
        if self._burst_pts:
            self._burst_pts.append(pts_ms)
            if len(self._burst_pts) <= BURST_UNITS:
                return _DECODE
            self._burst_pts.clear()
        if self._long_gops:
            self._schedule.repeat(self._inner_interval_ms, pts_ms)
            return _DECODE
        return _DECODE if self._lacks_a_sample else self._skip()

    @property
    def _lacks_a_sample(self) -> bool:
        """Alert ended before the GOP had a sample: the one that is begun is finished, as a burst would be."""
        sampled = self._samples and (self._sampled_ms or 0) >= (self._gop_start_ms or 0)
        return self._schedule.running and not sampled and self._gop_units <= BURST_UNITS

    def _skip(self) -> UnitPlan:
        if self._backlog == 0:
            self._schedule.stop()
            self._schedule.skip()
        self._backlog += 1
        return _SKIP

    def _follow(self, pts_ms: int, interval_ms: int, *, fresh: bool) -> None:
        if fresh:
            self._schedule.start(pts_ms, interval_ms)
            self._frames_unsampled = 0
        else:
            self._schedule.repeat(interval_ms, pts_ms)

    def _start_burst(self, pts_ms: int) -> None:
        delta_ms = min(self._delta_ms, max(self._tiers.burst_ms // 2, 1))
        self._schedule.start(pts_ms, None, delta_ms=delta_ms)
        self._burst_start_ms, self._burst_pts, self._frames_unsampled = pts_ms, [pts_ms], 0

    def _too_early(self, pts_ms: int) -> bool:
        if self._burst_start_ms is None:
            return False
        least_ms = min(CALM_INTERVAL_MS, self._tiers.blind_limit_ms // 2)
        return 0 <= pts_ms - self._burst_start_ms < least_ms

    @property
    def _unit_ms(self) -> float:
        """Media time of a unit, from the running GOP."""
        return max((self._unit_pts_ms - (self._gop_start_ms or 0)) / self._gop_units, 1.0)

    def _overdue(self, pts_ms: int) -> bool:
        """Whether the backlog must be decoded from now on to keep the blind limit."""
        due_ms = (self._sampled_ms or 0) + self._tiers.blind_limit_ms
        units_left = min((due_ms - pts_ms) / self._unit_ms, BLIND_UNITS - self._units_unsampled)
        return self._backlog + 1 >= units_left * (CATCH_UP_UNITS - 1)

    def _begin_catching_up(self, pts_ms: int, interval_ms: int) -> None:
        """The first sample is due when the decoder is in step again: one of the past would come late."""
        self._catching_up = True
        units = -(-self._backlog // (CATCH_UP_UNITS - 1))
        self._schedule.start(pts_ms + round(units * self._unit_ms) - 2 * self._delta_ms, interval_ms)

    def _catch_up(self) -> UnitPlan:
        self._backlog += 1
        count = min(self._backlog, CATCH_UP_UNITS)
        self._backlog -= count
        self._catching_up = self._backlog > 0
        return UnitPlan(Disposition.CATCH_UP, count)
