"""Schedules rescans: closer looks at unknown frames for borders, overlays and insets. Pure.

A rescan costs several times a plain lookup, and almost every frame is unknown. So a new stream is rescanned
often and an older one seldom. A still frame is rescanned more seldom. After a match every frame is
rescanned, because the vote needs several samples close together.
"""

from __future__ import annotations

from edge.match.pdq.hasher import distance

NEW_MS = 10_000
"""Media time during which a stream counts as new."""
NEW_PAUSE_MS = 500
"""Pause between two rescans of a new stream."""
PAUSE_MS = 3000
"""Pause between two rescans later."""
STILL_PAUSE_MS = 12_000
"""The same while the frame stays as it was at the last rescan."""
STILL_BITS = 20
"""Most hash bits by which a still frame differs from the one before.

Talking heads stay within 16 bits in two seconds. Where a video fills 45 % of the width of a still frame,
three of five pairs of frames differ by more than this."""
SEEN_MS = 3000
"""Media time after a match during which every frame is rescanned."""


def is_still(bits: bytes, before: bytes | None) -> bool:
    """Whether two frames show the same frame, judged by their hashes."""
    return before is not None and distance(bits, before) <= STILL_BITS


class Pause:
    """The pause from one rescan to the next, in media time. It is longer while the frame stays the same."""

    def __init__(self, over_ms: int = 0) -> None:
        """The pause ends at ``over_ms``, whatever the frame shows."""
        self._bits: bytes | None = None
        self._over_ms = self._still_over_ms = over_ms

    def begin(self, pts_ms: int, bits: bytes, pause_ms: int, still_pause_ms: int) -> None:
        """Starts the pause after a rescan of the frame with hash ``bits``."""
        self._bits = bits
        self._over_ms, self._still_over_ms = pts_ms + pause_ms, pts_ms + still_pause_ms

    def is_over(self, pts_ms: int, bits: bytes) -> bool:
        """Whether the frame with hash ``bits`` may be rescanned."""
        return pts_ms >= (self._still_over_ms if is_still(bits, self._bits) else self._over_ms)


class RescanSchedule:
    """The rescans of one stream. Call ``due`` for each unknown frame and ``judged`` for every frame.

    All times are media time. Time that goes back restarts the schedule.
    """

    def __init__(self) -> None:
        self._last_ms: int | None = None
        self._pause = Pause()
        self._new_until_ms = self._seen_until_ms = 0

    def due(self, pts_ms: int, bits: bytes) -> bool:
        """Whether to rescan the frame with hash ``bits``."""
        self._follow(pts_ms)
        return pts_ms <= self._seen_until_ms or self._pause.is_over(pts_ms, bits)

    def judged(self, pts_ms: int, *, looked: bytes | None, found: bool) -> None:
        """Records a frame's result. ``looked`` is its hash if it was rescanned. ``found`` says whether it
        matched."""
        self._follow(pts_ms)
        if found:
            self._seen_until_ms = pts_ms + SEEN_MS
        if looked is not None:
            new = pts_ms < self._new_until_ms
            pauses_ms = (NEW_PAUSE_MS, NEW_PAUSE_MS) if new else (PAUSE_MS, STILL_PAUSE_MS)
            self._pause.begin(pts_ms, looked, *pauses_ms)

    def _follow(self, pts_ms: int) -> None:
        if self._last_ms is None or pts_ms < self._last_ms:
            self._pause = Pause(pts_ms)
            self._new_until_ms = pts_ms + NEW_MS
            self._seen_until_ms = pts_ms - 1
        self._last_ms = pts_ms
