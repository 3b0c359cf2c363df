"""Estimates a worker's load, including streams whose cost does not show yet. Pure.

A worker's busy share lags: a stream costs nothing before its first keyframe, and keyframes come in waves.
The estimate is the mean of the last two reports. Streams that came since add what a stream has cost this
worker so far.

Publishers decide how many come, and many may come that never cost anything: they send nothing, or what is
refused at once. So a stream that has shown no verdict yet counts only as far as those before it came to one.
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
_LEARN_EARNEST = 1 / 16
_LEAST_EARNEST = 0.2


class LoadEstimate:
    """State of one worker over intervals of about a second. ``measured`` ends an interval.

    Much shorter intervals, as between reports that arrive together, say nothing about shares.
    """

    def __init__(self) -> None:
        self.cost = _GUESS
        """Share of the worker's time that one more stream is expected to need."""
        self.earnest = 1.0
        """Share of the streams that come which are expected to cost anything."""
        self._busy: tuple[float, ...] = ()
        self._watched: dict[str, bool] = {}
        """Streams that the worker watches, and whether each has shown a verdict."""
        self._recent: list[set[str]] = [set(), set(), set()]
        """Streams that came since the last report, in the interval before it, and in the one before that.
        Those that have left are not among them: a publisher can come and go many times a second."""
        self._came = [0, 0, 0]
        """The number of streams that came in these intervals, with those that have left."""

    @property
    def load(self) -> float:
        now, last, before = self._arrived
        if len(self._busy) < 2:
            # A single report shows half of what came in its interval.
            return sum(self._busy) + self.cost * (now + (0.5 * last if self._busy else last + before))
        return sum(self._busy) / 2 + self.cost * (now + 0.75 * last + 0.25 * before)

    @property
    def _arrived(self) -> list[float]:
        """How many streams came in each of the last intervals, as far as they are expected to cost."""
        return [
            sum(1.0 if self._watched[stream] else self.earnest for stream in streams)
            for streams in self._recent
        ]

    def opened(self, stream_id: str) -> None:
        """Counts a stream that was given to the worker to be watched."""
        self._watched[stream_id] = False
        self._recent[0].add(stream_id)
        self._came[0] += 1

    def shown(self, stream_id: str) -> None:
        """Notes a stream's verdict: it costs what streams cost."""
        if self._watched.get(stream_id) is False:
            self._watched[stream_id] = True
            self._learn_earnest(1.0)

    def closed(self, stream_id: str) -> None:
        """Counts a stream that is watched no more: it has left the worker, or is being cut."""
        if self._watched.get(stream_id) is False and stream_id in self._recent[0] | self._recent[1]:
            self._learn_earnest(0.0)
        self._watched.pop(stream_id, None)
        for streams in self._recent:
            streams.discard(stream_id)

    def measured(self, busy_share: float) -> None:
        """Takes a report. ``busy_share`` is the share of time since the last report that went into due
        work."""
        self._busy = (*self._busy[-1:], busy_share)
        streams = sum(self._watched.values())  # those that send nothing do not make the others seem cheap
        recent = [sum(self._watched[stream] for stream in came) for came in self._recent]
        if sum(self._came) <= _SETTLED * streams:
            self._learn(busy_share, streams - recent[0] / 2)
        else:
            # Attributes all work to the older streams, which gives an upper bound for the cost. Where
            # streams keep coming, nothing else corrects a cost that was learned in a bad moment.
            self._learn(sum(self._busy) / len(self._busy), streams - sum(recent), rise=False)
        for stream_id in self._recent[1]:
            if not self._watched[stream_id]:
                self._learn_earnest(0.0)
        self._recent = [set(), *self._recent[:2]]
        self._came = [0, *self._came[:2]]

    def _learn(self, busy_share: float, streams: float, *, rise: bool = True) -> None:
        if streams >= _ENOUGH:
            cost = min(max(busy_share / streams, _LEAST), _MOST)
            if rise or cost < self.cost:
                self.cost += _LEARN * (cost - self.cost)

    def _learn_earnest(self, costs: float) -> None:
        self.earnest = max(self.earnest + _LEARN_EARNEST * (costs - self.earnest), _LEAST_EARNEST)
