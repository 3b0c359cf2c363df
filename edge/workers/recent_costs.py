"""What a worker's work has cost of late, and what it has no time for any more. Pure; milliseconds."""

from __future__ import annotations

import math
from typing import Final

_DECAY: Final = 0.97
"""A cost is taken as its worst of late: a verdict just past the deadline helps nobody."""
_FORGET_MS: Final = 1000.0
"""A cost that nothing has repeated for so long is forgotten, with this time constant. What is never begun
because it was dear once would never show that it is cheap again: a worker that was stopped for some seconds
would be blind for ever."""
_ONCE_MS, _JUMP = 100.0, 4.0
"""What a single piece of work counts for at most, or so many times the worst of late: the machine may have
stood still."""
_GUESS_MS: Final = 5.0
_MARGIN_MS: Final = 5.0
"""By which a verdict must be expected before its deadline: costs are those of late, not those to come."""


class RecentCost:
    """The worst of late of one kind of work; ``guess_ms`` before any is done."""

    def __init__(self, guess_ms: float = 0.0) -> None:
        self._ms = guess_ms
        self._at_ms = math.inf

    def add_cost(self, took_ms: float, now_ms: float) -> None:
        """``now_ms``: monotonic, as it is over."""
        before_ms = self.at(now_ms)
        self._ms = max(min(took_ms, max(_ONCE_MS, _JUMP * before_ms)), before_ms * _DECAY)
        self._at_ms = now_ms

    def at(self, now_ms: float) -> float:
        """What it is expected to cost now."""
        since_ms = max(0.0, now_ms - self._at_ms - _FORGET_MS)
        return self._ms * math.exp(-since_ms / _FORGET_MS)


class RecentCosts:
    """State of one worker."""

    def __init__(self) -> None:
        self.judge = RecentCost(_GUESS_MS)
        """Judging one sample."""
        self.burst = RecentCost()
        """Decoding what one sample of the calm tier is made of."""

    def in_time(self, now_ms: float, deadline_ms: float) -> bool:
        """Whether a sample that is judged now is judged before its deadline."""
        return now_ms + self.judge.at(now_ms) + _MARGIN_MS <= deadline_ms

    def is_hopeless(
        self, now_ms: float, deadline_ms: float, length_ms: float, begun: int, blind_share: float
    ) -> bool:
        """Whether a calm stream's sample would be late if its keyframe were decoded now.

        ``deadline_ms``: of the keyframe. ``length_ms``: media from the keyframe to the end of the sample,
        whose deadline is so much later. ``begun``: other samples that are begun, and go before it.
        ``blind_share``: how long nothing was judged of the stream, a half at its blind limit: past that it
        may hope for more, or the order of keyframes would settle who is never seen.
        """
        hope = max(0.0, blind_share - 0.5)
        cost_ms = self.burst.at(now_ms) + self.judge.at(now_ms)
        return now_ms + (begun * (1 - hope) + 1) * cost_ms > deadline_ms + length_ms
