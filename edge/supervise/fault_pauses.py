"""Lets a publisher wait whose media could not be watched, again and again, for its own fault. Pure.

Each such stream costs the gate an incident on record. Only the publisher pays: the pause holds for its
account, or without a proven one for the name that it gives at its address. Neighbours behind one address, and
whoever really has that name, publish as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cachetools import FIFOCache

from edge.domain import Publish
from edge.ledger.subjects import struck_name
from edge.names import compared

FREE_FAULTS: Final = 3
"""Faults without a pause. Whoever has set up an encoder wrongly needs some tries."""
FIRST_PAUSE_MS: Final = 2_000.0
LONGEST_PAUSE_MS: Final = 60_000.0
FORGET_MS: Final = 600_000.0
"""Time without a fault after which earlier ones count no more."""
MAX_PUBLISHERS: Final = 50_000


@dataclass(slots=True)
class _Faults:
    count: int
    at_ms: float


class FaultPauses:
    """Pauses by publisher. Those whose last fault is oldest are forgotten first."""

    def __init__(self, most: int = MAX_PUBLISHERS) -> None:
        self._faults: FIFOCache[str, _Faults] = FIFOCache(most)

    def faulted(self, publish: Publish, now_ms: float) -> None:
        """Counts a stream that was ended for its publisher's fault."""
        key = _key(publish)
        faults = self._faults.get(key)
        count = 0 if faults is None or now_ms - faults.at_ms >= FORGET_MS else faults.count
        self._faults[key] = _Faults(count + 1, now_ms)

    def left_ms(self, publish: Publish, now_ms: float) -> float:
        """Returns how long the publisher must still wait. 0 if it need not."""
        faults = self._faults.get(_key(publish))
        if faults is None or faults.count <= FREE_FAULTS:
            return 0.0
        doublings = min(faults.count - FREE_FAULTS - 1, 32)
        pause_ms = min(FIRST_PAUSE_MS * 2.0**doublings, LONGEST_PAUSE_MS)
        return max(0.0, faults.at_ms + pause_ms - now_ms)


def _key(publish: Publish) -> str:
    name = struck_name(publish)
    return name if publish.identity_proven else f"{name}/{compared(publish.broadcaster)}"
