"""The publisher's 32-bit timestamps as media time that only goes forward."""

from __future__ import annotations

MAX_FORWARD_JUMP_MS = 10_000
MAX_REORDER_MS = 1_000


class Timeline:
    """Unwraps timestamps and irons out jumps.

    Media is released to viewers by its time, so time that a publisher turns back would pass media
    off as judged already. A step back, or a jump over 10 s, continues right behind what came before.
    """

    def __init__(self) -> None:
        self._started = False
        self._last_raw = 0
        self._last = 0
        self.jumps = 0

    def media_ms(self, raw: int, tolerance_ms: int = 500) -> int:
        """Media time of a raw 32-bit timestamp; audio and video may interleave by ``tolerance_ms``.

        Never before the newest time returned, less the tolerance; the first one counts as it is.
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
    """Presentation time; a composition time beyond any real reordering is a lie and is bounded."""
    return decoding_ms + min(max(composition_ms, 0), MAX_REORDER_MS)
