"""The machine's clocks, of which a test sets one."""

from __future__ import annotations

from edge.clock import SystemClock


class SetClock(SystemClock):
    ahead_ms = 0
    """How far the wall clock is ahead."""

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms
