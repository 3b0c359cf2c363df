"""How loaded a worker is, and will be once all that it has taken on shows. Pure.

What a worker says of its time lags: a stream costs nothing before its first keyframe, and keyframes come in
waves. So its load is the mean of its last two answers, plus what the streams that came since are still to
add, at what a stream has cost this worker so far.
"""

from __future__ import annotations

_GUESS = 0.017
"""Share of a core that a stream is taken to cost before there are enough to tell: a calm 720p one's."""
_LEAST, _MOST = 0.004, 0.2
_ENOUGH = 4
"""Streams that say what one costs."""
_LEARN = 0.3
_SETTLED = 0.1
"""Share of streams that may have come lately: their openings are no measure of what streams cost."""


class LoadEstimate:
    """State of one worker, over intervals of about a second that ``measured`` ends: of much shorter ones, as
    between answers that come together, the shares say nothing."""

    def __init__(self) -> None:
        self.cost = _GUESS
        """Share of the worker's time that one more stream is taken to need."""
        self._busy: tuple[float, ...] = ()
        self._arrived = [0, 0, 0]
        """Streams that came since the last answer, in the interval before it, and in the one before that."""

    @property
    def load(self) -> float:
        now, last, before = self._arrived
        if len(self._busy) < 2:
            # A single answer shows half of what came in its interval.
            return sum(self._busy) + self.cost * (now + (0.5 * last if self._busy else last + before))
        return sum(self._busy) / 2 + self.cost * (now + 0.75 * last + 0.25 * before)

    def opened(self) -> None:
        """A stream has been given to the worker."""
        self._arrived[0] += 1

    def measured(self, busy_share: float, streams: int) -> None:
        """``busy_share`` of the time since the last answer went into what had to be done; ``streams`` it has
        by now."""
        self._busy = (*self._busy[-1:], busy_share)
        if sum(self._arrived) <= _SETTLED * streams:
            self._learn(busy_share, streams - self._arrived[0] / 2)
        else:
            # As if all of it went into those that were there before: no stream costs more than that. Where
            # streams come all the time it is the only word against a cost that was learned in a bad moment.
            self._learn(sum(self._busy) / len(self._busy), streams - sum(self._arrived), rise=False)
        self._arrived = [0, *self._arrived[:2]]

    def _learn(self, busy_share: float, streams: float, *, rise: bool = True) -> None:
        if streams >= _ENOUGH:
            cost = min(max(busy_share / streams, _LEAST), _MOST)
            if rise or cost < self.cost:
                self.cost += _LEARN * (cost - self.cost)
