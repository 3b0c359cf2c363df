"""Matches the frames of one live stream with the banks, and the content of a screen that it films."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.match.entry import Candidate, is_found
from edge.match.evasion.filmed_screen import POINTS, Quad, points_of, quads
from edge.match.evasion.rescan_schedule import NEW_MS, STILL_PAUSE_MS, Pause, RescanSchedule, is_still
from edge.match.pdq.hasher import PdqHash
from edge.match.stillness import Pictures

U8 = npt.NDArray[np.uint8]

FRAMES = 5
"""Frames that are averaged for a screen search."""
MIN_MS = 600
"""Least media time that these frames cover."""
PAUSE_MS = 1000
"""Pause between a screen search without a match and the next average. It doubles after each search."""
MAX_PAUSE_MS = 8000
STILL_SEARCH_MS = 24_000
"""Pause between two screen searches while the frame stays the same."""
LOOK_MS = 1000
"""Pause between two lookups of a screen with unknown content, in a new stream."""
LATER_LOOK_MS = 3000
"""Pause between two such lookups later. A window or a shelf in a room may pass for a screen for hours.

While the frame stays the same, the pause is ``STILL_PAUSE_MS``, as for any rescan."""


class FramesLookup(Protocol):
    """The matcher of a worker, which all its streams share."""

    def query(self, luma: U8, *, may_rescan: Callable[[PdqHash], bool]) -> tuple[Candidate, ...]:
        """Returns the bank entries that one frame's luma, uint8 ``(h, w)``, may show.

        ``may_rescan`` is called with the frame's hash when the plain lookup finds nothing. It returns whether
        to rescan the frame.
        """
        ...

    def query_screens(self, luma: U8, screens: Iterable[Quad]) -> tuple[Candidate, ...]:
        """Returns the bank entries that the screens in the frame may show, each flattened to a front view."""
        ...


class StreamMatcher:
    """Looks every frame of one stream up, and schedules the more expensive rescans."""

    def __init__(self, frames: FramesLookup) -> None:
        self._frames = frames
        self._rescans = RescanSchedule()
        self._screens = ScreenWatch()
        self._pictures = Pictures()

    def query(self, pts_ms: int, luma: U8) -> tuple[Candidate, ...]:
        """Returns the known footage that a frame, uint8 ``(h, w)``, may show, directly or on a screen.
        Nearest first."""
        unknown: bytes | None = None
        looked: bytes | None = None

        def may_rescan(frame: PdqHash) -> bool:
            nonlocal unknown, looked
            unknown = frame.bits
            if self._rescans.due(pts_ms, unknown):
                looked = unknown
            return looked is not None

        found = self._frames.query(luma, may_rescan=may_rescan)
        if not is_found(found) and unknown is not None:
            found += self._query_screens(pts_ms, luma, unknown)
        self._rescans.judged(pts_ms, looked=looked, found=is_found(found))
        if not found:
            return ()
        number = self._pictures.number_of(luma)
        return tuple(replace(candidate, picture=number) for candidate in found)

    def _query_screens(self, pts_ms: int, luma: U8, bits: bytes) -> tuple[Candidate, ...]:
        """Returns the known footage on the screens of an unknown frame."""
        screens = self._screens.add_frame(pts_ms, luma, bits)
        if not screens:
            return ()
        found = self._frames.query_screens(luma, screens)
        self._screens.looked(pts_ms, bits, is_found(found))
        return found


class ScreenWatch:
    """Decides when to search a stream for a screen, and when to look its content up. Pure."""

    def __init__(self) -> None:
        self._screens: tuple[Quad, ...] = ()
        self._begin(0, 0, None)
        self._pause_ms = PAUSE_MS
        self._last_ms = 0
        self._new_until_ms: int | None = None
        self._look_pause = Pause()
        self._seen = False

    def add_frame(self, pts_ms: int, luma: U8, bits: bytes) -> tuple[Quad, ...]:
        """Takes an unknown frame and its hash. Returns the screens whose content to look up in this frame.

        ``luma`` is uint8 ``(h, w)``. Media time that goes back starts the watch anew.
        """
        if pts_ms < self._last_ms:
            self.__init__()  # type: ignore[misc]
        self._last_ms = pts_ms
        if self._new_until_ms is None:
            self._new_until_ms = pts_ms + NEW_MS
        # A screen with known content has the right corners, so it needs no search.
        if not self._seen and (self._count or self._may_search(pts_ms, bits)):
            self._average(pts_ms, luma, bits)
        return self._screens if self._look_pause.is_over(pts_ms, bits) else ()

    def looked(self, pts_ms: int, bits: bytes, seen: bool) -> None:
        """Takes the result of a screen lookup. After a match (``seen``) the screens of every frame are
        looked up."""
        self._seen = seen
        new = self._new_until_ms is None or pts_ms < self._new_until_ms
        pauses_ms = (0, 0) if seen else (LOOK_MS, LOOK_MS) if new else (LATER_LOOK_MS, STILL_PAUSE_MS)
        self._look_pause.begin(pts_ms, bits, *pauses_ms)

    def _may_search(self, pts_ms: int, bits: bytes) -> bool:
        """Whether an average for a screen search may begin."""
        if is_still(bits, self._searched) and pts_ms > (self._new_until_ms or 0):
            return pts_ms >= self._searched_ms + STILL_SEARCH_MS
        return pts_ms >= self._from_ms

    def _average(self, pts_ms: int, luma: U8, bits: bytes) -> None:
        if not self._count:
            self._first_ms = pts_ms
        self._sum += points_of(luma)
        self._count += 1
        if self._count < FRAMES or pts_ms - self._first_ms < MIN_MS:
            return
        self._screens = quads(self._sum / np.float32(self._count))
        self._begin(pts_ms, self._pause_ms, bits)
        self._pause_ms = min(2 * self._pause_ms, MAX_PAUSE_MS)

    def _begin(self, pts_ms: int, pause_ms: int, bits: bytes | None) -> None:
        self._sum = np.zeros((POINTS, POINTS), np.float32)
        self._count = 0
        self._first_ms = pts_ms
        self._searched_ms, self._searched = pts_ms, bits
        self._from_ms = pts_ms + pause_ms
