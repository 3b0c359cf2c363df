"""Which frames of a stream are to be remembered, and which of them were passed. Pure.

A frame is hashed once a second at most. What is hashed while the stream is suspicious waits until the
suspicion is over. If a verdict comes of it, it was not passed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from edge.match import LEAST_PAUSE_MS

MOST_WAITING: Final = 64


@dataclass(frozen=True, slots=True)
class CalmView:
    """A frame that was judged."""

    bits: bytes
    """Its PDQ hash."""
    pts_ms: int
    unseen_ms: int
    """Media time since the frame that was hashed before it, whether or not that was passed."""
    passed: bool = True
    """No verdict has come of it."""


class CalmViews:
    """Those of one stream."""

    def __init__(self) -> None:
        self._hashed_pts_ms: int | None = None
        self._waiting: deque[CalmView] = deque(maxlen=MOST_WAITING)
        self._convicted = False
        """A verdict has come of the suspicion that lasts."""

    def due(self, pts_ms: int) -> bool:
        """Whether to hash a frame."""
        before_ms = self._hashed_pts_ms
        return before_ms is None or not 0 <= pts_ms - before_ms < LEAST_PAUSE_MS

    def add_view(self, bits: bytes, pts_ms: int) -> None:
        """Takes the hash of a frame. Empty: it shows too little."""
        before_ms, self._hashed_pts_ms = self._hashed_pts_ms, pts_ms
        if bits:
            unseen_ms = 0 if before_ms is None else max(0, pts_ms - before_ms)
            self._waiting.append(CalmView(bits, pts_ms, unseen_ms))

    def judged(self, *, passes: bool, suspicious: bool) -> tuple[CalmView, ...]:
        """Takes what was decided on the newest frame. Returns the frames of which that is known by now."""
        self._convicted = self._convicted or not passes
        if suspicious and not self._convicted:
            return ()
        judged = tuple(replace(view, passed=not self._convicted) for view in self._waiting)
        self._waiting.clear()
        self._convicted = self._convicted and suspicious
        return judged
