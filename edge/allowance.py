"""How often somebody may do what costs others, and how long it waits beyond that. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final

from cachetools import FIFOCache

MAX_KEYS: Final = 4096
"""Most whose debts are kept. The one that was charged, or got a token back, longest ago goes first."""


class Allowance:
    """A token bucket for each key: ``burst`` at once, then ``per_s`` a second.

    Whoever takes more is in debt, for ``most_ms`` at most. Times are monotonic milliseconds.
    """

    def __init__(self, per_s: float, burst: int, most_ms: float = math.inf) -> None:
        self._most_ms: Final = most_ms
        self._each_ms: Final = 1000.0 / per_s
        self._burst_ms: Final = burst * self._each_ms
        self._full_ms: FIFOCache[Hashable, float] = FIFOCache(MAX_KEYS)
        """When each bucket is full again."""

    def charge(self, key: Hashable, now_ms: float) -> None:
        """Takes one token, also where none is left."""
        full_ms = max(now_ms, self._full_ms.get(key, now_ms)) + self._each_ms
        self._full_ms[key] = min(full_ms, now_ms + self._burst_ms + self._most_ms)

    def give_back(self, key: Hashable) -> None:
        """Gives one token back. A full bucket takes none."""
        if key in self._full_ms:
            self._full_ms[key] -= self._each_ms

    def debt_ms(self, key: Hashable, now_ms: float) -> float:
        """How long it takes until nothing is owed any more. 0 while there are tokens."""
        return max(0.0, self._full_ms.get(key, now_ms) - self._burst_ms - now_ms)
