"""Turns a publisher's 32-bit timestamps into media time that only moves forward."""

from __future__ import annotations

MAX_FORWARD_JUMP_MS = 10_000
MAX_REORDER_MS = 1_000


class Timeline:
    """Unwraps timestamps and removes jumps.

    Hold-back releases media by its time. A publisher that sets its time back could pass new media off as
    judged already. So after a step back, or a jump over 10 s, time continues right after the previous
    message.
    """

    def __init__(self) -> None:
        self._started = False
        self._last_raw = 0
        self._last = 0
        self.jumps = 0

    def media_ms(self, raw: int, tolerance_ms: int = 500) -> int:
        """Media time of a raw 32-bit timestamp. Audio and video may interleave by ``tolerance_ms``.

        Never earlier than the newest time returned less the tolerance. The first timestamp is taken as it
        is.
        """
        if not self._started:
            self._started, self._last_raw, self._last = True, raw, raw
            return raw
        step = (raw - self._last_raw + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        time = self._last + step
        if step < -tolerance_ms or step > MAX_FORWARD_JUMP_MS:
            self.jumps += 1
            time = self._last
            self._last_raw = raw
            return time
        if time > self._last:
            self._last, self._last_raw = time, raw
        return time


def presentation_ms(decoding_ms: int, composition_ms: int) -> int:
    """Presentation time in ms. Bounds the composition time: real reordering never exceeds a second."""
    return decoding_ms + min(max(composition_ms, 0), MAX_REORDER_MS)
