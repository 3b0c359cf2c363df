"""Decides which decoded frames make samples. Pure.

A sample has three frames: those closest in pts to E-2δ, E-δ and E. "Closest" depends on the next frame,
which has not come yet. So the last frame interval decides. A frame is taken for a time as soon as the next
one is expected to be further away. That costs no delay and no extra decoded frame. Where there are fewer
frames than times (low frame rates), the nearest distinct frames are used.

With draws, each E lies a little earlier or later than usual, so that footage on some frames of every few
cannot stay between the samples. Nothing more is decoded for it on average.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from edge.stream.draws import Draws, Purpose

DEFAULT_INTERVAL_MS = 40
MAX_KEPT = 32
"""Most frames that a schedule remembers, for any stamps and intervals."""
PAUSE_INTERVALS = 4
"""A gap of more frame intervals than this (and over 2δ) is a pause, not a low frame rate."""


@dataclass(frozen=True, slots=True)
class FrameRoles:
    """The roles of one decoded frame.

    ``keep``: its plane is part of a sample, now or soon. ``keep_previous``: the plane of the frame before
    it is, because that frame turned out to be closer. ``sample``: pts of the three kept frames that form a
    sample. ``late``: the frame is not after the one before and is ignored.
    """

    keep: bool = False
    keep_previous: bool = False
    sample: tuple[int, int, int] | None = None
    late: bool = False


_NOTHING = FrameRoles()
_LATE = FrameRoles(late=True)


class Schedule:
    """The wanted times of one stream, and the frames kept for them."""

    def __init__(self, delta_ms: int, draws: Draws | None = None) -> None:
        self._delta_ms = self._apart_ms = delta_ms
        self._draws = draws
        self._interval_ms: int | None = None
        self._end_ms: int | None = None
        self._last_end_ms: int | None = None
        self._newest_ms: int | None = None
        self._wanted: deque[int] = deque()
        self._kept: deque[int] = deque(maxlen=MAX_KEPT)
        self._previous_ms: int | None = None
        self._previous_kept = False
        self._gap_ms: int | None = None
        self._steady_ms: int | None = None
        self._frame_interval_ms = DEFAULT_INTERVAL_MS
        self._paused = False

    @property
    def running(self) -> bool:
        return self._end_ms is not None

    @property
    def end_ms(self) -> int | None:
        """Wanted time of the next sample's newest frame. None when no sample is wanted."""
        return self._end_ms

    @property
    def begin_ms(self) -> int | None:
        """Media time after which the next sample's frames lie. None when no sample is wanted.

        Where samples are further apart than they are long, this is the time of the one before.
        """
        if self._end_ms is None:
            return None
        length_ms = max(2 * self._delta_ms, self._interval_ms or 0)
        return self._end_ms - length_ms - self._frame_interval_ms // 2

    @property
    def oldest_kept_ms(self) -> int | None:
        """Pts of the oldest kept frame. Planes of earlier frames are no longer needed."""
        return self._kept[0] if self._kept else None

    def start(
        self, start_ms: int, interval_ms: int | None, *, delta_ms: int | None = None, exact: bool = False
    ) -> None:
        """Starts a new sequence of samples.

        The first sample covers ``start_ms`` to ``start_ms`` + 2δ. Others follow every ``interval_ms``, or
        none with None. ``exact``: the end of the first is not drawn, because its time was.
        """
        delta = self._delta_ms if delta_ms is None else delta_ms
        self._kept.clear()
        self._previous_kept = False
        self._last_end_ms = self._newest_ms = None
        self._interval_ms = interval_ms
        self._want(self._drawn_end(start_ms + 2 * delta, 0 if exact else delta // 3), delta)

    def repeat(self, interval_ms: int, now_ms: int) -> None:
        """Continues with a sample every ``interval_ms``. Reuses kept frames where possible.

        ``now_ms`` is the pts of the next access unit. A sequence that must start anew starts there.
        """
        if self._end_ms is not None and (self._interval_ms == interval_ms or self._last_end_ms is None):
            self._interval_ms = interval_ms
            return
        self._interval_ms = interval_ms
        if self._last_end_ms is None or self._previous_ms is None:
            self.start(now_ms, interval_ms)
            return
        end_ms = self._drawn_end(self._last_end_ms + interval_ms, interval_ms // 5)
        if self._end_ms is not None and self._end_ms <= end_ms:
            return
        past = self._previous_ms
        times = (end_ms - 2 * self._delta_ms, end_ms - self._delta_ms, end_ms)
        if all(time > past or time <= self._last_end_ms for time in times):
            self._want(end_ms, self._delta_ms)
        else:
            self.start(past + self._frame_interval_ms, interval_ms)

    def stop(self) -> None:
        """Wants no samples until ``start`` or ``repeat``."""
        self._end_ms = None
        self._wanted.clear()

    def begin_anew(self, pts_ms: int) -> None:
        """Starts anew at ``pts_ms``, where the frame size changes. Earlier frames cannot be compared."""
        if self._end_ms is not None:
            newest_ms = self._newest_ms
            self.start(pts_ms, self._interval_ms)
            self._newest_ms = newest_ms

    def follow(self, delta_ms: int, pts_ms: int) -> None:
        """Starts anew at ``pts_ms`` with frames ``delta_ms`` apart. No kept frame is reused."""
        running = self._end_ms is not None
        self._delta_ms = delta_ms
        self.skip()
        self.start(pts_ms, self._interval_ms)
        if not running:
            self.stop()

    def skip(self) -> None:
        """Notes that media was skipped. The next frame does not follow the one before."""
        self._previous_ms = None
        self._previous_kept = False

    def frame(self, pts_ms: int, *, want: bool = False, force: bool = False) -> FrameRoles:
        """Takes the next decoded frame and returns its roles. A frame that is not after the one before has
        none.

        ``want`` keeps the frame in any case. ``force`` keeps it and takes the sample now.
        """
        previous, previous_kept = self._previous_ms, self._previous_kept
        if previous is not None:
            if pts_ms <= previous:
                return _LATE
            self._pace(pts_ms, pts_ms - previous)
        self._previous_ms, self._previous_kept = pts_ms, False
        if self._end_ms is None:
            return _NOTHING
        keep, keep_previous = self._serve(pts_ms, None if previous_kept else previous)
        due = force or pts_ms + self._frame_interval_ms // 2 >= self._end_ms
        if not keep and (want or force or (due and not self._enough())):
            keep = True
            self._kept.append(pts_ms)
        self._previous_kept = keep
        sample = self._sample(pts_ms, force) if due and self._enough() else None
        return FrameRoles(keep, keep_previous, sample)

    def leftovers(self) -> tuple[int, int, int] | None:
        """Returns the last three kept frames. Fewer are filled up with the last one. None without any."""
        if not self._kept:
            return None
        last = list(self._kept)[-3:]
        first, second, third = (*last, *([last[-1]] * (3 - len(last))))
        return first, second, third

    def _pace(self, pts_ms: int, gap_ms: int) -> None:
        if self._gap_ms is None:
            # The first gap may be a lost frame. Until there are two, a guess of 25 fps does less harm.
            self._gap_ms, self._frame_interval_ms = gap_ms, min(gap_ms, DEFAULT_INTERVAL_MS)
            return
        steady = self._steady_ms
        pause = steady is not None and gap_ms > max(PAUSE_INTERVALS * steady, 2 * self._delta_ms)
        # The smaller of two gaps counts, because one pause must not pass for the frame rate.
        self._frame_interval_ms = self._steady_ms = min(gap_ms, self._gap_ms)
        self._gap_ms = gap_ms
        if pause and not self._paused and self._end_ms is not None and self._end_ms < pts_ms:
            # Frames from both sides of a pause would look like a jump of the frame. This happens once only:
            # a stream with nothing but pauses is sampled across them.
            self._paused = True
            self._want(pts_ms + 2 * self._delta_ms, self._delta_ms)

    def _drawn_end(self, end_ms: int, room_ms: int) -> int:
        return (
            end_ms if self._draws is None else end_ms + self._draws.shift(Purpose.SAMPLE_END, end_ms, room_ms)
        )

    def _want(self, end_ms: int, delta_ms: int) -> None:
        self._end_ms, self._apart_ms = end_ms, delta_ms
        done_ms = self._last_end_ms
        times = {end_ms - 2 * delta_ms, end_ms - delta_ms, end_ms}
        if self._interval_ms is not None:
            # Samples closer than 2δ overlap. Add the times before this one's end that later samples want.
            for following in range(end_ms + self._interval_ms, end_ms + 2 * delta_ms, self._interval_ms):
                times |= {time for time in (following - 2 * delta_ms, following - delta_ms) if time < end_ms}
        self._wanted = deque(sorted(time for time in times if done_ms is None or time > done_ms))

    def _serve(self, pts_ms: int, previous_unkept: int | None) -> tuple[bool, bool]:
        """Takes this frame or the one before for the wanted times, whichever is closer."""
        keep = keep_previous = False
        # At most half of what lies between wanted times: the first frames' interval is a guess, and one frame
        # would serve two of them.
        horizon = pts_ms + min(self._frame_interval_ms, self._apart_ms) // 2
        while self._wanted and self._wanted[0] <= horizon:
            time = self._wanted.popleft()
            distance = abs(pts_ms - time)
            if self._kept and abs(time - self._kept[-1]) <= distance:
                continue
            if previous_unkept is not None and abs(time - previous_unkept) <= distance:
                self._kept.append(previous_unkept)
                keep_previous, previous_unkept = True, None
            else:
                self._kept.append(pts_ms)
                keep, previous_unkept = True, None
        return keep, keep_previous

    def _enough(self) -> bool:
        """Whether three frames are kept, and the newest is newer than that of the last sample."""
        return len(self._kept) >= 3 and (self._newest_ms is None or self._kept[-1] > self._newest_ms)

    def _sample(self, pts_ms: int, force: bool) -> tuple[int, int, int]:
        kept = list(self._kept)
        assert self._end_ms is not None
        end_ms = kept[-1] if force else self._end_ms
        least = 2 if self._newest_ms is None else max(2, bisect_right(kept, self._newest_ms))
        newest = _closest(kept, end_ms, least, len(kept))
        middle = _closest(kept, end_ms - self._delta_ms, 1, newest)
        oldest = _closest(kept, end_ms - 2 * self._delta_ms, 0, middle)
        if force:
            oldest, middle, newest = len(kept) - 3, len(kept) - 2, len(kept) - 1
        self._last_end_ms, self._newest_ms = end_ms, kept[newest]
        self._paused = False
        if self._interval_ms is None:
            self.stop()
        else:
            following = self._drawn_end(end_ms + self._interval_ms, self._interval_ms // 5)
            self._want(following if following > pts_ms else pts_ms + self._interval_ms, self._delta_ms)
            self._forget()
        return kept[oldest], kept[middle], kept[newest]

    def _forget(self) -> None:
        """Drops frames that the next sample cannot use. Keeps at least two, and all from its first time
        on."""
        assert self._end_ms is not None
        first_ms = self._end_ms - 2 * self._delta_ms
        while len(self._kept) > 2 and self._kept[1] <= first_ms:
            self._kept.popleft()


def _closest(kept: list[int], time_ms: int, start: int, stop: int) -> int:
    """Returns the index in [start, stop) of the frame closest to a time. The earlier one wins a tie."""
    return min(range(start, stop), key=lambda index: abs(kept[index] - time_ms))
