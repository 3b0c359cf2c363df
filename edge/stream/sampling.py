"""Decides which access units are decoded. Pure: no media, no clock.

In the calm tier a burst is decoded after each keyframe: the few units that one sample needs. All other
units are skipped undecoded. In the alert tier every unit is decoded, and a sample is taken every
``alert_interval_ms``.

The skipped units of the current GOP are the backlog. It is decoded when alert begins mid-GOP, and when the
GOP would otherwise pass ``blind_limit_ms`` without a sample. At most ``CATCH_UP_UNITS`` are decoded for
each unit that arrives. After such a long GOP the calm tier decodes every unit as it arrives. The whole GOP
has to be decoded anyway, and a steady load is better than waves.

A look takes one sample in mid-GOP. It decodes the backlog up to its time, and skips again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from edge.domain import Tier
from edge.policy import TierPolicy
from edge.stream.draws import Draws, Purpose
from edge.stream.frame_roles import FrameRoles, Schedule
from edge.stream.look_budget import LookBudget

BURST_UNITS = 32
"""Most access units that one calm burst decodes, whatever the frame rate."""
BURST_FRAMES = 26
"""Most frames of a burst. It then makes its sample from them: 200 ms at 120 fps, plus reordering."""
CATCH_UP_UNITS = 8
"""Most units of the backlog that are decoded for each unit that arrives."""
CALM_INTERVAL_MS = 900
"""Least media time between two bursts. Without it, streams of very short GOPs would be decoded whole."""
ALERT_FRAMES = 32
"""Most frames between two samples in alert. Without it, stamps that hardly advance would blind the gate."""
BLIND_UNITS = 320
"""Most units between two samples in the calm tier, for the same reason."""
LOOK_GOP_MS = 2_000
"""Length of a GOP in which a look costs as much as the policy's intervals assume. In a shorter one it costs
less."""
SPREAD_FRAMES = 4
"""Distance in frames within a sample that such a frame limit forces."""


class Disposition(Enum):
    """How an access unit is treated."""

    DROP = "drop"
    """Drop it, because no keyframe came before it."""
    SKIP = "skip"
    """Put it into the backlog, because it is not needed now."""
    DECODE = "decode"
    RESTART = "restart"
    """Decode it as the first after skipped units. The decoder must be reset before."""
    CATCH_UP = "catch_up"
    """Put it into the backlog, and decode the oldest ``UnitPlan.backlog`` units of that."""


@dataclass(frozen=True, slots=True)
class UnitPlan:
    feed: Disposition
    backlog: int = 0


_DROP, _SKIP, _DECODE, _RESTART = (
    UnitPlan(f) for f in (Disposition.DROP, Disposition.SKIP, Disposition.DECODE, Disposition.RESTART)
)


class Sampler:
    """Plans the decoding of one stream.

    Call ``unit`` for each access unit in decoding order, and ``frame`` for each decoded frame in display
    order.
    """

    def __init__(
        self, tiers: TierPolicy, delta_ms: int, draws: Draws | None = None, looks: LookBudget | None = None
    ) -> None:
        """Without ``draws`` each sample consists of the frames nearest to the usual times. ``looks`` decides
        on samples in mid-GOP."""
        self._tiers = tiers
        self._delta_ms = delta_ms
        self._draws = draws
        self._schedule = Schedule(delta_ms, draws)
        self._tier: Tier | None = None
        self._backlog = 0
        self._catching_up = False
        self._looks = looks
        self._look_end_ms: int | None = None
        """Where the look ends that is being taken."""
        self._look_units = 0
        self.may_look = True
        """Whether a look may begin. The worker may have no time for it at the moment."""
        self._newest_ms: int | None = None
        self._gop_ms = 0
        """Length of the GOP before."""
        self._longer_gop_ms = 0
        """Length of the longer of the two GOPs before."""
        self._gop_start_ms: int | None = None
        self._gop_units = 0
        self._unit_pts_ms = 0
        self._long_gops = False
        self._distrusted = False
        self._burst_start_ms: int | None = None
        self._burst_pts: list[int] = []  # pts of the units of the current burst
        self._sampled_ms: int | None = None
        self._units_unsampled = 0
        self._frames_unsampled = 0
        self._samples = 0

    @property
    def decodes_all(self) -> bool:
        """Whether every unit is needed at the moment, whatever the tier."""
        return self._tier is None or self._long_gops or (self._catching_up and not self.looking)

    @property
    def looking(self) -> bool:
        """Whether a look is being taken."""
        return self._look_end_ms is not None

    @property
    def look_cost(self) -> float:
        """Cost of a look in this stream's GOPs, as a share of one in a GOP of two seconds: a half to one."""
        return min(max((self._longer_gop_ms or LOOK_GOP_MS) / LOOK_GOP_MS, 0.5), 1.0)

    @property
    def look_after_keyframe_ms(self) -> int | None:
        """Media time from the newest keyframe to a look that comes in its GOP. None if none is expected."""
        if self._gop_start_ms is None or self._newest_ms is None or self._looks is None:
            return None
        if self._look_end_ms is not None:
            return self._look_end_ms - self._gop_start_ms
        remaining_ms = self._looks.remaining_ms
        if remaining_ms is None:
            return None
        after_ms = max(self._newest_ms - self._gop_start_ms, 2 * self._delta_ms) + round(remaining_ms)
        return after_ms if after_ms <= (self._gop_ms or self._tiers.blind_limit_ms) else None

    @property
    def wants_samples(self) -> bool:
        """Whether a sample needs the frames that are decoded now."""
        return self._schedule.running

    @property
    def matchable_after_ms(self) -> int | None:
        """Media time after which a decoded frame may be the one of the next sample that is matched.

        None while no sample needs the frames that are decoded. The time of a look was drawn, so its last
        frame is matched. Otherwise the ends of GOPs would seldom be.
        """
        return (
            self._schedule.begin_ms if self._look_end_ms is None else self._look_end_ms - round(self._unit_ms)
        )

    @property
    def references_until_ms(self) -> int | None:
        """Media time before which frames are decoded only because others refer to them, or None."""
        return (
            None
            if self._look_end_ms is None
            else self._look_end_ms - 2 * self._delta_ms - 2 * round(self._unit_ms)
        )

    @property
    def oldest_kept_ms(self) -> int | None:
        """Pts of the oldest kept frame. Planes of earlier frames are no longer needed."""
        return self._schedule.oldest_kept_ms

    def set_policy(self, tiers: TierPolicy) -> None:
        """Changes the policy from the next access unit on."""
        self._tiers = tiers

    def distrust_keyframes(self) -> None:
        """Notes a false keyframe. From now on nothing is skipped."""
        self._distrusted = self._long_gops = True

    def unit(self, pts_ms: int, keyframe: bool, tier: Tier) -> UnitPlan:
        """Returns the plan for the next access unit."""
        if self._gop_start_ms is None and not keyframe:
            return _DROP
        self._tier = tier
        self._pass_time(pts_ms)
        self._unit_pts_ms = pts_ms
        self._units_unsampled += 1
        if self._sampled_ms is None:
            self._sampled_ms = pts_ms
        if tier is Tier.ALERT:
            self._burst_pts.clear()
            self._look_end_ms = None
        if keyframe:
            return self._keyframe(pts_ms)
        self._gop_units += 1
        return self._alert(pts_ms) if tier is Tier.ALERT else self._calm(pts_ms)

    def lacked(self, pts_ms: int) -> None:
        """Takes an access unit that comes late because it was not needed before. It joins the backlog."""
        self._pass_time(pts_ms)
        self._unit_pts_ms = pts_ms
        self._units_unsampled += 1
        self._gop_units += 1
        self._burst_pts.clear()
        self._skip()

    def _pass_time(self, pts_ms: int) -> None:
        """Counts the media since the unit before as skipped, where nothing of it is decoded.

        A caller may leave out everything after a burst. Then only the gap to the next unit shows it.
        """
        step_ms = 0 if self._newest_ms is None else max(0, pts_ms - self._newest_ms)
        self._newest_ms = (self._newest_ms or pts_ms) + step_ms
        if self._looks is not None and self._gop_units and not self._catching_up:
            self._looks.skipped(step_ms if self._backlog else max(0, step_ms - 2 * round(self._unit_ms)))

    def frame(self, pts_ms: int) -> FrameRoles:
        """Returns the roles of the next decoded frame."""
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
            if self.looking:
                self._look_end_ms, self._catching_up = None, False
        return taps

    def follow(self, delta_ms: int, pts_ms: int) -> None:
        """Switches to another model from the unit at ``pts_ms`` on."""
        self._delta_ms = delta_ms
        self._burst_pts.clear()
        self._schedule.follow(delta_ms, pts_ms)

    def begin_anew(self, pts_ms: int) -> None:
        """Notes another frame size from ``pts_ms`` on. Frames of both sizes do not go together.

        A stream whose size changes all the time is sampled across the changes.
        """
        if self._frames_unsampled <= ALERT_FRAMES // 2:
            self._schedule.begin_anew(pts_ms)

    @property
    def burst_units(self) -> int:
        """Number of units of the current calm burst. 0 without a burst."""
        return len(self._burst_pts)

    @property
    def burst_is_fed(self) -> bool:
        """Whether the decoder has all frames of the burst's sample, whether they have come out or not.

        Where the stamps leave no gap, this is known before the frames come out.
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
        """Notes that the decoder was drained to end a burst of this many units.

        It has lost its references. So these units begin the backlog.
        """
        self._burst_pts.clear()
        self._schedule.stop()
        self._schedule.skip()
        self._backlog = units

    def lost(self) -> None:
        """Notes that the rest of this GOP cannot be decoded. The next call of ``unit`` is for a keyframe."""
        self.drained(max(self._backlog, 1))
        self._catching_up = False
        self._look_end_ms = None

    def finish(self) -> tuple[int, int, int] | None:
        """Returns the frames of a stream that ended before its first sample. None otherwise."""
        return None if self._samples else self._schedule.leftovers()

    @property
    def _inner_interval_ms(self) -> int:
        """Sample interval in calm GOPs longer than the blind limit: half of it, so that one sample may be
        lost."""
        return max(self._tiers.blind_limit_ms // 2, 1)

    def _keyframe(self, pts_ms: int) -> UnitPlan:
        in_step = self._backlog == 0
        if self._gop_start_ms is not None:
            gop_ms = pts_ms - self._gop_start_ms
            self._longer_gop_ms, self._gop_ms = max(self._gop_ms, gop_ms), gop_ms
            self._long_gops = self._distrusted or gop_ms > self._tiers.blind_limit_ms
        first = self._gop_start_ms is None
        self._gop_start_ms, self._gop_units = pts_ms, 1
        calm = self._tier is not Tier.ALERT
        bursting = in_step and bool(self._burst_pts)
        if self.looking:  # its GOP ended before it
            self._look_end_ms = None
            self._schedule.stop()
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
            self._frames_unsampled = -self._backlog  # it is decoded for references, not for samples
        self._schedule.repeat(self._tiers.alert_interval_ms, pts_ms)
        return self._catch_up()

    def _calm(self, pts_ms: int) -> UnitPlan:
        gop_ms = pts_ms - (self._gop_start_ms or 0)
        if self._backlog > 0:
            if not self._catching_up:
                if self._overdue(pts_ms):
                    self._begin_catching_up(pts_ms, self._inner_interval_ms)
                elif self._look_due:
                    self._begin_look(pts_ms)
                else:
                    return self._skip()
            self._long_gops |= not self.looking
            return self._catch_up()
        if self.looking:
            self._look_units += 1
            if self._look_units <= BURST_UNITS:
                return _DECODE
            self._look_end_ms = None
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
        """Whether alert ended before the GOP had a sample. The begun sample is then finished like a burst."""
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
        least_ms: float = min(CALM_INTERVAL_MS, self._tiers.blind_limit_ms // 2)
        if self._draws is not None:
            # Keyframes a second apart are all sampled. Which ones are of those that are closer is drawn.
            least_ms *= 0.44 + 0.62 * self._draws.share(Purpose.SHORT_GOPS, self._burst_start_ms)
        return 0 <= pts_ms - self._burst_start_ms < least_ms

    @property
    def _unit_ms(self) -> float:
        """Mean media time of a unit in the current GOP."""
        return max((self._unit_pts_ms - (self._gop_start_ms or 0)) / self._gop_units, 1.0)

    def _overdue(self, pts_ms: int) -> bool:
        """Whether the backlog must be decoded from now on to keep the blind limit."""
        due_ms = (self._sampled_ms or 0) + self._tiers.blind_limit_ms
        units_left = min((due_ms - pts_ms) / self._unit_ms, BLIND_UNITS - self._units_unsampled)
        return self._backlog + 1 >= units_left * (CATCH_UP_UNITS - 1)

    @property
    def _look_due(self) -> bool:
        """Whether to begin a look, so that the decoder is in step at its time.

        A time after the usual end of the GOP is one in the next GOP.
        """
        if self._looks is None or not self.may_look:
            return False
        remaining_ms, catch_up_ms = self._looks.remaining_ms, self._catch_up_ms
        if remaining_ms is None or remaining_ms > catch_up_ms:
            return False
        end_ms = (
            self._unit_pts_ms - (self._gop_start_ms or 0) + max(remaining_ms, catch_up_ms - self._unit_ms)
        )
        usual_ms = self._gop_ms - self._unit_ms / 2
        return end_ms <= usual_ms or self._unit_pts_ms - (self._gop_start_ms or 0) > usual_ms

    def _begin_look(self, pts_ms: int) -> None:
        assert self._looks is not None
        self._looks.looked()
        self._begin_catching_up(pts_ms, None)
        self._look_end_ms, self._look_units = self._schedule.end_ms, 0
        # Frames that are decoded for references do not count towards the limit.
        self._frames_unsampled = (
            BLIND_UNITS - BURST_FRAMES - self._backlog * CATCH_UP_UNITS // (CATCH_UP_UNITS - 1)
        )

    @property
    def _catch_up_ms(self) -> int:
        """Media time in which the backlog can be decoded while units arrive."""
        return round(-(-self._backlog // (CATCH_UP_UNITS - 1)) * self._unit_ms)

    def _begin_catching_up(self, pts_ms: int, interval_ms: int | None) -> None:
        """Starts to decode the backlog. The first sample is due when it is done: an earlier one would be
        late."""
        self._catching_up = True
        self._schedule.start(
            pts_ms + self._catch_up_ms - 2 * self._delta_ms, interval_ms, exact=interval_ms is None
        )

    def _catch_up(self) -> UnitPlan:
        self._backlog += 1
        count = min(self._backlog, CATCH_UP_UNITS)
        self._backlog -= count
        self._catching_up = self._backlog > 0
        return UnitPlan(Disposition.CATCH_UP, count)
