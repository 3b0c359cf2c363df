"""Decides what a stream may cost its worker, from measured processor time. Pure; times in milliseconds.

Its publisher chooses what a stream costs: frame size, frame rate, slices, tools of the codec, and what
keeps it in the alert tier. So a stream pays for itself. It earns ``decoding.share`` of a core, and keeps what
it has not spent for at most ``decoding.window_ms``.

- With half of that left, it gets all work that its worker has time for.
- With less, only the work that is due to it, and behind the work of other streams.
- With nothing left it is *over*: no GOP of it is begun, and nothing is sampled densely, until it has earned
  what it owes.
- A stream that is over goes to the worker for heavy streams, which gives it what its own priority leaves.
- Where next to nothing of it can be judged even so for ``decoding.limit_ms``, it is *unpayable*. Policy says
  what happens then.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

from edge.policy import DecodingPolicy

_HEAVY_SHARE: Final = 0.9
"""Share of a core that streams of the worker for heavy streams divide among them."""
_TOO_LONG: Final = 2
"""So many single jobs that take longer than the latency budget, within a window, put a stream over. Nothing
else runs in a worker during a job."""
_SETTLE_MS: Final = 60_000.0
"""How long a stream must cost little before it counts as an ordinary one again."""
_MEAN_MS: Final = 20_000.0
"""Time constant of the mean cost."""


class Standing(Enum):
    """How a stream stands with its budget."""

    WITHIN = "within"
    OVER = "over"
    UNPAYABLE = "unpayable"
    LIGHT = "light"
    """Its worker is the one for heavy streams, and it has cost little for a minute."""


class DecodingBudget:
    """Budget of one stream in one worker. ``heavy``: it is the worker for heavy streams."""

    def __init__(self, policy: DecodingPolicy | None = None, now_ms: float = 0.0, *, heavy: bool = False):
        self._policy = policy or DecodingPolicy()
        self.heavy = heavy
        self._share = self._policy.share
        self._credit_ms = self._most_ms
        self._at_ms = self._since_light_ms = self._assessed_ms = now_ms
        self._too_long_ms: list[float] = []
        self._starved_ms = 0.0
        self.over = False
        """Whether it has spent more than it has. It stays so until a quarter is earned back."""
        self.mean_share = 0.0
        """Share of a core that it has cost lately."""

    @property
    def _most_ms(self) -> float:
        return self._share * self._policy.window_ms

    def set_policy(self, policy: DecodingPolicy) -> None:
        self._policy, self._share = policy, max(policy.share, self._share if self.heavy else 0.0)
        self._credit_ms = min(self._credit_ms, self._most_ms)

    def share_with(self, streams: int) -> None:
        """Takes the number of streams of the worker for heavy streams, which divide its time."""
        self._share = max(self._policy.share, _HEAVY_SHARE / max(streams, 1))

    def spend(self, cost_ms: float, now_ms: float, latency_budget_ms: float = math.inf) -> None:
        """Records the processor time of a job that ended at ``now_ms``."""
        self._earn(now_ms)
        self._credit_ms -= cost_ms
        self.mean_share += cost_ms / _MEAN_MS
        if cost_ms > latency_budget_ms:
            self._too_long_ms = [at for at in self._too_long_ms if now_ms - at < self._policy.window_ms]
            self._too_long_ms.append(now_ms)
            if len(self._too_long_ms) >= _TOO_LONG:
                self._credit_ms = min(self._credit_ms, -cost_ms)
        if self._credit_ms < 0:
            self.over = True

    def may_begin(self, now_ms: float) -> bool:
        """Returns whether a GOP may be begun, or dense sampling go on."""
        self._earn(now_ms)
        return self._credit_ms >= 0

    def may_finish(self, now_ms: float) -> bool:
        """Returns whether a begun sample may be finished. It may owe as much as the stream can keep."""
        self._earn(now_ms)
        return self._credit_ms >= -self._most_ms

    def is_low(self, now_ms: float) -> bool:
        """Returns whether other streams' due work goes first, and it gets none beyond what is due to it."""
        self._earn(now_ms)
        return 2 * self._credit_ms < self._most_ms

    def assess(self, now_ms: float, *, blind: bool) -> Standing:
        """Returns how the stream stands now. ``blind``: nothing was judged for longer than its limit."""
        self._earn(now_ms)
        passed_ms, self._assessed_ms = now_ms - self._assessed_ms, now_ms
        if blind and (self.over or self.heavy):
            self._starved_ms += passed_ms
        else:
            self._starved_ms = max(0.0, self._starved_ms - passed_ms / 2)
        if self.over or 2 * self.mean_share > self._policy.share:
            self._since_light_ms = now_ms
        if self._starved_ms >= self._policy.limit_ms:
            return Standing.UNPAYABLE
        if self.over:
            return Standing.OVER
        light = self.heavy and now_ms - self._since_light_ms >= _SETTLE_MS
        return Standing.LIGHT if light else Standing.WITHIN

    def _earn(self, now_ms: float) -> None:
        passed_ms = max(0.0, now_ms - self._at_ms)
        self._at_ms = max(self._at_ms, now_ms)
        self._credit_ms = min(self._credit_ms + self._share * passed_ms, self._most_ms)
        self.mean_share *= math.exp(-passed_ms / _MEAN_MS)
        if 4 * self._credit_ms >= self._most_ms:
            self.over = False
