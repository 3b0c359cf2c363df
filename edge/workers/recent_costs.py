"""What a worker's work has cost of late, and what it has no time for any more. Pure; milliseconds."""

from __future__ import annotations

from typing import Final

_DECAY: Final = 0.97
"""A cost is taken as its worst of late: a verdict just past the deadline helps nobody."""
_GUESS_MS: Final = 5.0
_MARGIN_MS: Final = 5.0
"""By which a verdict must be expected before its deadline: costs are those of late, not those to come."""


class RecentCosts:
    """State of one worker."""

    def __init__(self) -> None:
        self.judge_ms = _GUESS_MS
        """Of judging one sample."""
        self.burst_ms = 0.0
        """Of decoding what one sample of the calm tier is made of."""

    def judged(self, took_ms: float) -> None:
        self.judge_ms = max(took_ms, self.judge_ms * _DECAY)

    def decoded_burst(self, took_ms: float) -> None:
        self.burst_ms = max(took_ms, self.burst_ms * _DECAY)

    def in_time(self, now_ms: float, deadline_ms: float) -> bool:
        """Whether a sample that is judged now is judged before its deadline."""
        return now_ms + self.judge_ms + _MARGIN_MS <= deadline_ms

    def is_hopeless(self, late_ms: float, length_ms: float, begun: int, blind_share: float) -> bool:
        """Whether a calm stream's sample would be late if its keyframe were decoded now.

        ``late_ms``: of the keyframe, negative before its deadline. ``length_ms``: media from the keyframe to
        the end of the sample, whose deadline is so much later. ``begun``: other samples that are begun, and
        go before it. ``blind_share``: how long nothing was judged of the stream, a half at its blind limit:
        past that it may hope for more, or the order of keyframes would settle who is never seen.
        """
        hope = max(0.0, blind_share - 0.5)
        return late_ms + (begun * (1 - hope) + 1) * (self.burst_ms + self.judge_ms) > length_ms
