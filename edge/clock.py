"""Time as an argument: the gate reads clocks only through ``Clock``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for deadlines."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic_ms(self) -> float:
        """Milliseconds on a clock that never goes back. All processes of a machine share it."""
        ...

    def thread_ms(self) -> float:
        """Milliseconds of processor time that the calling thread has used."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> float:
        return time.monotonic_ns() / 1e6

    def thread_ms(self) -> float:
        return time.thread_time_ns() / 1e6


class EventTimes:
    """Wall times of one course of events, for records. Only the first is read from the wall clock. So the
    others keep their order and distances when it is set meanwhile."""

    def __init__(self, clock: Clock, begun_ms: int) -> None:
        """``begun_ms`` is the wall time that counts as now."""
        self._clock = clock
        self._ahead_ms = begun_ms - clock.monotonic_ms()

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, by the wall clock of the begin."""
        return round(self._clock.monotonic_ms() + self._ahead_ms)


@dataclass
class ManualClock:
    """A clock that a test moves by hand."""

    now_wall_ms: int = 1_700_000_000_000
    now_monotonic_ms: float = 0.0

    def wall_ms(self) -> int:
        return self.now_wall_ms

    def monotonic_ms(self) -> float:
        return self.now_monotonic_ms

    def thread_ms(self) -> float:
        return self.now_monotonic_ms

    def advance_ms(self, ms: float) -> None:
        self.now_monotonic_ms += ms
        self.now_wall_ms += int(ms)
