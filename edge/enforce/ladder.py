"""The strike ladder: how long live access is blocked after the next violation."""

from __future__ import annotations

from collections.abc import Sequence

from edge.domain import PERMANENT_MS, Strike
from edge.policy import LadderPolicy


def counts(strike: Strike, ladder: LadderPolicy, wall_ms: int) -> bool:
    """Whether a strike still weighs: not pardoned, and not older than ``ladder.lapse_ms``.

    A strike dated after ``wall_ms`` counts: a clock that was set back must not forgive.
    """
    return strike.pardoned_ms is None and wall_ms - strike.created_ms <= ladder.lapse_ms


def block_until(strikes_before: Sequence[Strike], ladder: LadderPolicy, wall_ms: int) -> int:
    """Wall milliseconds at which the block for one more violation ends.

    ``strikes_before``: the broadcaster's earlier strikes, without the one that is being written.
    The n-th strike that counts takes the n-th step; the last step stands for every further one.
    Never over PERMANENT_MS.
    """
    earlier = sum(1 for strike in strikes_before if counts(strike, ladder, wall_ms))
    step_ms = ladder.steps_ms[min(earlier, len(ladder.steps_ms) - 1)]
    return min(wall_ms + step_ms, PERMANENT_MS)
