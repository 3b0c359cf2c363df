"""The gate's own media time. Pure: stamps, arrival and frame order in, media time out.

Stamps belong to the publisher. This clock follows them while they agree with what can be measured: when
access units arrive, and in which order. Where they do not, it goes on without them:

1. Steps. Each unit comes at least ``LEAST_STEP_MS`` after the one before, and at least ``FOLLOW`` of the
   usual time between two arrivals. So stamps that stand still, crawl or bunch up hide no frame.
2. Jumps. A step that is ``JUMP_MS`` longer than the time that passed, and each new base of ``Timestamps``, is
   that time, or the usual time between two arrivals.
3. Lead. Media may arrive ahead of its time by ``max_lead_ms``, as the GOP cache of a server does. Beyond
   that the reader waits (``ahead_ms``). Each unit takes at least as long as its bytes take at ``BYTES_A_MS``.
   Stamps that are further apart than frames of a live stream are, and than arrivals, are not waited for: they
   run fast, and arrivals count.

Stamps that are only late or early keep their distances. A pause, a gap, a restart, a wrap and reordered
frames change nothing. A pts keeps its distance from its dts.
"""

from __future__ import annotations

from typing import Final

from edge.reasons import StampFault
from edge.timestamps import Timestamps

MAX_LEAD_MS: Final = 10_000
"""Default of ``max_lead_ms``: longer than the GOPs that servers cache."""
LEAST_STEP_MS: Final = 4
"""Least media time between two units: 240 frames a second."""
FOLLOW: Final = 0.7
"""Least speed of media time against arrival. Footage at this speed, or stretched by it, still matches."""
UNTIMED_STEP_MS: Final = 17
"""Least media time of a unit whose stamps say nothing: 60 frames a second."""
BYTES_A_MS: Final = 12_500
"""Most bytes of live video in a millisecond: 100 Mbit/s, twice what 4K at 60 frames a second needs."""
SPARSE_MS: Final = 100
"""Live video has more frames than one in this time."""
JUMP_MS: Final = 10_000
GAP_MS: Final = 200
"""Where neither stamps nor arrivals come for so long, both say that there is a gap."""
DRIFT: Final = 1.05
"""Speed of media against arrival that uses up no lead. The clocks of cameras differ."""
_USUAL: Final = 32
"""Number of units over which the usual steps are averaged."""
_FEW: Final = 8
"""Number of units for which the first averages count as 0. The first arrivals say little."""
_MOST_MS: Final = 1_000
"""Longest time between two arrivals that counts towards the usual one. A pause is no slow stream."""
_SLEW: Final = 64
_RETURN: Final = 8
_BEHIND_MS: Final = 300
"""Stamps that fall behind media time by more than this crawl, or the upload is congested."""
_CONGESTED_MS: Final = 10_000
"""An upload is not congested for longer. It ends, or leaves frames out."""
_JUMPS: Final = 10
_JUMP_PERIOD_MS: Final = 60_000


class MediaClock:
    """The clock of one stream. Call ``advance`` for each access unit in decoding order."""

    def __init__(self, max_lead_ms: int = MAX_LEAD_MS, before: MediaClock | None = None) -> None:
        """``before`` is the clock of an earlier call for the same stream. Its lead goes on."""
        self.fault: StampFault | None = None
        """What is wrong with the newest stamps. None where nothing is."""
        self.lead_ms: float = 0.0 if before is None else before.lead_ms
        """How far the newest unit came ahead of its time."""
        self._max_lead_ms = max_lead_ms
        self._timestamps = Timestamps()
        self._started = False
        self._arrival_ms: float = 0.0 if before is None else before._arrival_ms
        self._stamp_ms = self._dts_ms = self._step_ms = 0
        self._base_ms = 0
        """Media time less stamps."""
        self._pushed_ms = 0.0
        """The part of the difference that goes back as soon as stamps are good."""
        self._usual_arrival_ms = self._usual_stamp_ms = 0.0
        self._count = _FEW
        self._behind_ms = 0.0
        """How long stamps have been behind."""
        self._jumps = 0.0
        self._fast = False
        self._size_ms = 0.0
        """Least time that the newest unit takes, by its size."""
        self._disturbed = False
        """Something was wrong, and has not been made up for."""

    @property
    def ahead_ms(self) -> float:
        """How long the reader must wait before it takes more of this stream."""
        return max(0.0, self.lead_ms - self._max_lead_ms)

    def unwrapped_pts_ms(self, pts_ms: int, dts_ms: int) -> int:
        """The newest unit's pts as its caller counts it: only the wraps of a 32-bit clock are undone."""
        return self._timestamps.unwrapped_pts_ms(pts_ms, dts_ms)

    def advance(self, pts_ms: int, dts_ms: int, arrival_ms: float, size: int = 0) -> tuple[int, int]:
        """Returns the media time ``(pts_ms, dts_ms)`` of the next access unit. dts is strictly increasing.

        ``arrival_ms`` is monotonic, ``size`` in bytes. pts lies at most ``REORDER_MS`` from dts.
        """
        self._size_ms = size / BYTES_A_MS
        rebased = self._timestamps.rebased
        stamp_pts_ms, stamp_ms = self._timestamps.advance(pts_ms, dts_ms)
        if not self._started:
            self._started = True
            self.lead_ms = max(0.0, self.lead_ms - DRIFT * (arrival_ms - self._arrival_ms))
            self._arrival_ms, self._stamp_ms, self._dts_ms = arrival_ms, stamp_ms, stamp_ms
            return stamp_pts_ms, stamp_ms
        elapsed_ms = max(0.0, arrival_ms - self._arrival_ms)
        step_ms = stamp_ms - self._stamp_ms
        self._arrival_ms, self._stamp_ms = self._arrival_ms + elapsed_ms, stamp_ms
        jumped = self._timestamps.rebased != rebased or step_ms - elapsed_ms > JUMP_MS
        if jumped:
            own_ms = self._own_step_ms(elapsed_ms)
            self._base_ms -= step_ms - own_ms
            step_ms = own_ms
        if self._fast or elapsed_ms < GAP_MS or step_ms < elapsed_ms / 2:
            self._note_usual(elapsed_ms, step_ms)
        if jumped or self._disturbed or not self._goes_on(stamp_ms, elapsed_ms):
            behind_ms = self._follow(stamp_ms)
            self._lead(elapsed_ms)
            self.fault = self._fault_of(elapsed_ms, behind_ms, jumped=jumped)
            self._disturbed = bool(self.fault or self._pushed_ms or self._jumps or behind_ms)
        return self._dts_ms + stamp_pts_ms - stamp_ms, self._dts_ms

    def _goes_on(self, stamp_ms: int, elapsed_ms: float) -> bool:
        """Takes a unit of which nothing is wrong, as of nearly all. Returns False for any other."""
        dts_ms = stamp_ms + self._base_ms
        step_ms = dts_ms - self._dts_ms
        lead_ms = self.lead_ms - DRIFT * elapsed_ms
        cost_ms = step_ms if step_ms > self._size_ms else self._size_ms
        lead_ms = cost_ms if lead_ms < 0 else lead_ms + cost_ms
        least_ms = FOLLOW * self._usual_arrival_ms + 0.5
        good = LEAST_STEP_MS <= step_ms >= least_ms and self._usual_stamp_ms >= LEAST_STEP_MS
        if not good or lead_ms > self._max_lead_ms:
            return False
        self._dts_ms, self.lead_ms = dts_ms, lead_ms
        return True

    def _own_step_ms(self, elapsed_ms: float) -> int:
        """Media time of a unit whose stamp does not count."""
        return max(round(self._usual_arrival_ms), round(elapsed_ms), UNTIMED_STEP_MS)

    @property
    def _still(self) -> bool:
        """Whether stamps hardly move."""
        return self._usual_stamp_ms < LEAST_STEP_MS and self._count >= _FEW + _USUAL // 2

    def _note_usual(self, elapsed_ms: float, step_ms: int) -> None:
        if self._count < _USUAL:
            self._count += 1
        arrival_ms = elapsed_ms if elapsed_ms < _MOST_MS else _MOST_MS
        self._usual_arrival_ms += (arrival_ms - self._usual_arrival_ms) / self._count
        self._usual_stamp_ms += (step_ms - self._usual_stamp_ms) / self._count

    def _follow(self, stamp_ms: int) -> float:
        """Moves media time to the newest unit. Returns by how much its stamp is behind."""
        speed = 1.0 if self._still else FOLLOW
        least_ms = self._dts_ms + max(LEAST_STEP_MS, round(speed * self._usual_arrival_ms))
        by_stamp_ms = stamp_ms + self._base_ms + round(self._pushed_ms)
        behind_ms = least_ms - by_stamp_ms
        if behind_ms > 0:
            self._pushed_ms += behind_ms / _SLEW
        else:
            self._pushed_ms -= min(self._pushed_ms, -behind_ms / _RETURN)
            least_ms = max(least_ms, stamp_ms + self._base_ms + round(self._pushed_ms))
        self._step_ms, self._dts_ms = least_ms - self._dts_ms, least_ms
        return max(behind_ms, 0.0)

    def _lead(self, elapsed_ms: float) -> None:
        """Counts the newest unit towards the lead, and finds out whether stamps run too fast to wait for."""
        lead_ms = max(0.0, self.lead_ms - DRIFT * elapsed_ms)
        sparse = self._usual_stamp_ms > max(SPARSE_MS, 1.5 * self._usual_arrival_ms)
        self._fast = sparse and (self._fast or lead_ms + self._step_ms > self._max_lead_ms)
        over_ms = self._step_ms - self._own_step_ms(elapsed_ms) if self._fast else 0
        if over_ms > 0:
            self._base_ms -= over_ms
            self._dts_ms -= over_ms
            self._step_ms -= over_ms
        self.lead_ms = lead_ms + max(self._step_ms, self._size_ms, UNTIMED_STEP_MS if self._still else 0)

    def _fault_of(self, elapsed_ms: float, behind_ms: float, *, jumped: bool) -> StampFault | None:
        self._jumps = max(0.0, self._jumps - _JUMPS * elapsed_ms / _JUMP_PERIOD_MS) + jumped
        late = behind_ms > _BEHIND_MS
        self._behind_ms = self._behind_ms + min(elapsed_ms, _MOST_MS) if late else 0.0
        if self._still:
            return StampFault.STILL
        if self._fast:
            return StampFault.FAST
        if self._jumps > _JUMPS:
            return StampFault.JUMP
        return StampFault.CRAWL if self._behind_ms > _CONGESTED_MS else None
