"""When a frame that is not known as it is is looked at closer: for borders, overlays, pictures in it. Pure.

Such looks cost several times what the plain one does, and almost every frame of almost every stream is
not known. So they are taken often while a stream is new, seldom when they have led to nothing, more seldom
still while the picture stays what it was, and at every frame where something known has been seen lately:
votes need several samples close together.
"""

from __future__ import annotations

from edge.match.pdq.hasher import distance

NEW_MS = 10_000
"""Media time for which a stream is new."""
NEW_PAUSE_MS = 500
"""Between two looks at a new stream."""
PAUSE_MS = 3000
"""Between two looks later on …"""
STILL_PAUSE_MS = 12_000
"""… and while the picture is what it was at the last one."""
STILL_BITS = 20
"""Bits of the frame's hash that may differ then. Talking heads stay within 16 in two seconds; where a video
runs in 45 % of the width of a picture that stands still, three of five pairs of frames differ by more."""
SEEN_MS = 3000
"""How long something known counts as seen lately."""


def is_still(bits: bytes, before: bytes | None) -> bool:
    """Whether a frame shows what one before did, by their hashes."""
    return before is not None and distance(bits, before) <= STILL_BITS


class Pause:
    """From one look to the next, in media time: longer while the picture stays what it was."""

    def __init__(self, over_ms: int = 0) -> None:
        """``over_ms``: when it is over, whatever the picture."""
        self._bits: bytes | None = None
        self._over_ms = self._still_over_ms = over_ms

    def begin(self, pts_ms: int, bits: bytes, pause_ms: int, still_pause_ms: int) -> None:
        """There was a look at the frame whose hash is ``bits``."""
        self._bits = bits
        self._over_ms, self._still_over_ms = pts_ms + pause_ms, pts_ms + still_pause_ms

    def is_over(self, pts_ms: int, bits: bytes) -> bool:
        """Whether there may be a look at the frame whose hash is ``bits``."""
        return pts_ms >= (self._still_over_ms if is_still(bits, self._bits) else self._over_ms)


class LookSchedule:
    """State of one stream: ``due`` for each frame that is not known as it is, ``judged`` for every frame, in
    media time.

    Media time that goes back starts anew.
    """

    def __init__(self) -> None:
        self._last_ms: int | None = None
        self._pause = Pause()
        self._new_until_ms = self._seen_until_ms = 0

    def due(self, pts_ms: int, bits: bytes) -> bool:
        """Whether a frame, whose hash is ``bits``, is to be looked at closer."""
        self._follow(pts_ms)
        return pts_ms <= self._seen_until_ms or self._pause.is_over(pts_ms, bits)

    def judged(self, pts_ms: int, *, looked: bytes | None, found: bool) -> None:
        """What came of the frame. ``looked``: its hash if it was looked at closer; ``found``: something
        known, in whatever way."""
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
