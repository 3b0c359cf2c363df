"""Estimates a worker's load, including streams whose cost does not show yet. Pure.

A worker's busy share lags: a stream costs nothing before its first keyframe, and keyframes come in waves.
The estimate is the mean of the last two reports. Streams that came since add what a stream has cost this
worker so far.
"""

from __future__ import annotations

_GUESS = 0.017
"""Assumed share of a core for one stream until enough streams have been measured: that of a calm 720p
stream."""
_LEAST, _MOST = 0.004, 0.2
_ENOUGH = 4
"""Least number of streams from which a cost is learned."""
_LEARN = 0.3
_SETTLED = 0.1
"""Greatest share of recent arrivals for a fair measure. What opening a stream costs says nothing about
running it."""


class LoadEstimate:
    """State of one worker over intervals of about a second. ``measured`` ends an interval.

    Much shorter intervals, as between reports that arrive together, say nothing about shares.
    """

    def __init__(self) -> None:
        self.cost = _GUESS
        """Share of the worker's time that one more stream is expected to need."""
        self._busy: tuple[float, ...] = ()
        self._recent: list[set[str]] = [set(), set(), set()]
        """Streams that came since the last report, in the interval before it, and in the one before that.
        Those that have left are not among them: a publisher can come and go many times a second."""

    @property
    def load(self) -> float:
        now, last, before = self._arrived
        if len(self._busy) < 2:
            # A single report shows half of what came in its interval.
            return sum(self._busy) + self.cost * (now + (0.5 * last if self._busy else last + before))
        return sum(self._busy) / 2 + self.cost * (now + 0.75 * last + 0.25 * before)

    @property
    def _arrived(self) -> list[int]:
        return [len(streams) for streams in self._recent]

    def opened(self, stream_id: str) -> None:
        """Counts a stream that was given to the worker."""
        self._recent[0].add(stream_id)

    def closed(self, stream_id: str) -> None:
        """Counts a stream that has left the worker."""
        for streams in self._recent:
            streams.discard(stream_id)

    def measured(self, busy_share: float, streams: int) -> None:
        """Takes a report.

        ``busy_share`` is the share of time since the last report that went into due work. ``streams`` is
        the number of streams that the worker has now.
        """
        self._busy = (*self._busy[-1:], busy_share)
        if sum(self._arrived) <= _SETTLED * streams:
            self._learn(busy_share, streams - self._arrived[0] / 2)
        else:
            # Attributes all work to the older streams, which gives an upper bound for the cost. Where
            # streams keep coming, nothing else corrects a cost that was learned in a bad moment.
            self._learn(sum(self._busy) / len(self._busy), streams - sum(self._arrived), rise=False)
        self._recent = [set(), *self._recent[:2]]

    def _learn(self, busy_share: float, streams: float, *, rise: bool = True) -> None:
        if streams >= _ENOUGH:
            cost = min(max(busy_share / streams, _LEAST), _MOST)
            if rise or cost < self.cost:
                self.cost += _LEARN * (cost - self.cost)
