"""Recent costs of a worker's jobs, and what it has no time left for. Pure; times in milliseconds."""

from __future__ import annotations

import math
from typing import Final

_DECAY: Final = 0.97
"""Decay of the worst recent cost with each new one. The worst counts, because a verdict just past the
deadline is worthless."""
_FORGET_MS: Final = 1000.0
"""A cost that is not seen again for so long decays, with the same time constant. Without this, work that
was costly once would never be tried again. A worker that was stopped for some seconds would then stay
blind."""
_ONCE_MS, _JUMP = 100.0, 4.0
"""Most that a single cost counts for: so much, or so many times the worst recent one. The machine may have
stood still."""
_GUESS_MS: Final = 5.0
_MARGIN_MS: Final = 5.0
"""Margin before the deadline by which a verdict must be expected. Costs are past ones, not those to come."""


_CHEAP_MS: Final = 25.0
"""Processor time of a calm sample up to which a stream is of the cheapest class. Each further class reaches
to four times as much."""


class RecentCost:
    """Worst recent cost of one kind of job. ``guess_ms`` serves before the first one."""

    def __init__(self, guess_ms: float = 0.0) -> None:
        self._ms = guess_ms
        self._at_ms = math.inf

    def add_cost(self, took_ms: float, now_ms: float) -> None:
        """Records a cost. ``now_ms`` is the monotonic time at which the job ended."""
        before_ms = self.at(now_ms)
        self._ms = max(min(took_ms, max(_ONCE_MS, _JUMP * before_ms)), before_ms * _DECAY)
        self._at_ms = now_ms

    def at(self, now_ms: float) -> float:
        """Returns the expected cost now."""
        since_ms = max(0.0, now_ms - self._at_ms - _FORGET_MS)
        return self._ms * math.exp(-since_ms / _FORGET_MS)


class RecentCosts:
    """Recent costs of a worker's streams of one class."""

    def __init__(self) -> None:
        self.judge = RecentCost(_GUESS_MS)
        """Cost of judging one sample."""
        self.burst = RecentCost()
        """Cost of decoding the media of one calm sample."""

    def in_time(self, now_ms: float, deadline_ms: float) -> bool:
        """Returns whether a sample that is judged now gets its verdict before its deadline."""
        return now_ms + self.judge.at(now_ms) + _MARGIN_MS <= deadline_ms

    def is_hopeless(self, now_ms: float, deadline_ms: float, length_ms: float, begun_ms: float) -> bool:
        """Returns whether a calm stream's sample would be late if its keyframe were decoded now.

        ``deadline_ms`` is that of the keyframe. ``length_ms`` is the media from the keyframe to the end of
        the sample, whose deadline is so much later. ``begun_ms`` is the cost of other samples that have
        begun and go first.
        """
        return now_ms + begun_ms + self.whole_ms(now_ms) > deadline_ms + length_ms

    def whole_ms(self, now_ms: float) -> float:
        """Returns the expected cost of a calm sample, decoded and judged."""
        return self.burst.at(now_ms) + self.judge.at(now_ms)


class CostsByClass:
    """Recent costs of one worker, for streams that cost much and for streams that cost little apart.

    One stream with samples that take a second must not make the worker give up the others' samples. A stream
    of which nothing is known yet counts as one of the usual class.
    """

    def __init__(self) -> None:
        self._classes: dict[int, RecentCosts] = {}
        self._seen: dict[int, float] = {}

    def of(self, sample_cpu_ms: float) -> RecentCosts:
        """Returns the costs of streams like one whose calm sample takes this processor time to decode.

        0: that is not known yet.
        """
        usual = max(self._seen, key=self._seen.__getitem__, default=0)
        number = _class_of(sample_cpu_ms) if sample_cpu_ms else usual
        costs = self._classes.get(number)
        if costs is None:
            costs = self._classes[number] = RecentCosts()
        return costs

    def add_burst(self, cost_ms: float, sample_cpu_ms: float, now_ms: float) -> None:
        """Records what it cost to decode the media of a calm sample."""
        number = _class_of(sample_cpu_ms)
        for other in self._seen:
            self._seen[other] *= _DECAY
        self._seen[number] = self._seen.get(number, 0.0) + 1
        self.of(sample_cpu_ms).burst.add_cost(cost_ms, now_ms)


def _class_of(sample_cpu_ms: float) -> int:
    return max(0, math.frexp(sample_cpu_ms / _CHEAP_MS)[1] + 1) // 2
