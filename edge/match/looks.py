"""When a frame that is not known as it is is looked at closer: for borders, overlays, pictures in it. Pure.

Such looks cost several times what the plain one does, and almost every frame of almost every stream is
not known. So they are taken often while a stream is new, seldom when they have led to nothing, and at
every frame where something known has been seen lately: votes need several samples close together.
"""

from __future__ import annotations

NEW_MS = 10_000
"""Media time for which a stream is new."""
NEW_PAUSE_MS = 500
"""Between two looks at a new stream."""
PAUSE_MS = 3000
"""Between two looks later on."""
SEEN_MS = 3000
"""How long something known counts as seen lately."""


class LookSchedule:
    """State of one stream: ``due`` and then ``judged`` for each frame, in media time.

    Media time that goes back starts anew.
    """

    def __init__(self) -> None:
        self._last_ms: int | None = None
        self._next_ms = self._new_until_ms = self._seen_until_ms = 0

    def due(self, pts_ms: int) -> bool:
        """Whether a frame that is not known as it is is to be looked at closer."""
        if self._last_ms is None or pts_ms < self._last_ms:
            self._begin(pts_ms)
        self._last_ms = pts_ms
        return pts_ms >= self._next_ms or pts_ms <= self._seen_until_ms

    def judged(self, pts_ms: int, *, looked: bool, found: bool) -> None:
        """What came of the frame. ``looked``: closer; ``found``: something known, in whatever way."""
        if found:
            self._seen_until_ms = pts_ms + SEEN_MS
        if looked:
            self._next_ms = pts_ms + (NEW_PAUSE_MS if pts_ms < self._new_until_ms else PAUSE_MS)

    def _begin(self, pts_ms: int) -> None:
        self._next_ms = pts_ms
        self._new_until_ms = pts_ms + NEW_MS
        self._seen_until_ms = pts_ms - 1
