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
    """Recent costs of one worker."""

    def __init__(self) -> None:
        self.judge = RecentCost(_GUESS_MS)
        """Cost of judging one sample."""
        self.burst = RecentCost()
        """Cost of decoding the media of one calm sample."""

    def in_time(self, now_ms: float, deadline_ms: float) -> bool:
        """Returns whether a sample that is judged now gets its verdict before its deadline."""
        return now_ms + self.judge.at(now_ms) + _MARGIN_MS <= deadline_ms

    def is_hopeless(
        self, now_ms: float, deadline_ms: float, length_ms: float, begun: int, blind_share: float
    ) -> bool:
        """Returns whether a calm stream's sample would be late if its keyframe were decoded now.

        ``deadline_ms`` is that of the keyframe. ``length_ms`` is the media from the keyframe to the end of
        the sample, whose deadline is so much later. ``begun`` counts other samples that have begun and go
        first. ``blind_share`` says how long nothing was judged of the stream, with a half at its blind
        limit. Past the limit the stream may hope for more. Otherwise the order of keyframes would settle
        which stream is never seen.
        """
        hope = max(0.0, blind_share - 0.5)
        cost_ms = self.burst.at(now_ms) + self.judge.at(now_ms)
        return now_ms + (begun * (1 - hope) + 1) * cost_ms > deadline_ms + length_ms
