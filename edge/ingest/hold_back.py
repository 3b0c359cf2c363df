"""Holds media back until the gate has judged it. Pure: no I/O, time as an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from edge.policy import FailureMode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    item: T
    time_ms: int
    size: int
    arrival_ms: float


class HoldBack(Generic[T]):
    """A queue in decoding order that releases only items at or before the watermark.

    The head decides: no item leaves before an earlier one in decoding order. A watermark clears only items
    that are held when it arrives, not later ones. So a publisher gains nothing by repeating times that were
    judged already.

    When the head has waited ``max_ms``, or more than ``max_bytes`` are held, the watermark is too late.
    Under ``ALLOW`` the oldest item leaves and ``overruns`` counts it. Under ``DENY`` nothing leaves and
    ``overrun`` is set; the caller then ends the stream.
    """

    def __init__(self, max_ms: int, max_bytes: int, on_overrun: FailureMode) -> None:
        self._max_ms = max_ms
        self._max_bytes = max_bytes
        self._on_overrun = on_overrun
        self._held: deque[_Held[T]] = deque()
        self._bytes = 0
        self._clear = 0
        """Number of items at the head that may leave."""
        self._open = False
        self._cut = False
        self.overrun = False
        self.overruns = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        return self._bytes

    def push(self, item: T, time_ms: int, size: int, now_ms: float) -> None:
        """Holds an item of decoding time ``time_ms``. Drops it after a cut."""
        if self._cut:
            return
        self._held.append(_Held(item, time_ms, size, now_ms))
        self._bytes += size

    def clear(self, cleared_ms: int) -> None:
        """Raises the watermark to ``cleared_ms``, milliseconds of decoding time.

        A pts would not do: its publisher may give a frame that of one that was judged.
        """
        for held in islice(self._held, self._clear, None):
            if held.time_ms > cleared_ms:
                break
            self._clear += 1

    def clear_all(self) -> None:
        """The gate needs no more media: all held and later items may leave."""
        self._open = True

    def release(self, now_ms: float) -> list[T]:
        """Removes and returns, in order, everything that may leave now."""
        out: list[T] = []
        while self._held and not self._cut:
            head = self._held[0]
            if self._clear:
                self._clear -= 1
            elif not self._open:
                if now_ms - head.arrival_ms < self._max_ms and self._bytes <= self._max_bytes:
                    break
                if self._on_overrun is FailureMode.DENY:
                    self.overrun = True
                    break
                self.overruns += 1
            self._held.popleft()
            self._bytes -= head.size
            out.append(head.item)
        return out

    def drop_all(self) -> int:
        """Drops everything held and everything that follows. Returns how many held items were dropped."""
        self._cut = True
        dropped = len(self._held)
        self._held.clear()
        self._clear = 0
        self._bytes = 0
        return dropped
