"""What one live stream shows: its frames against the banks, and those of a screen that it may be filming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.match.entry import Candidate
from edge.match.evasion.filmed_screen import POINTS, Quad, points_of, quads
from edge.match.evasion.rescan_schedule import NEW_MS, STILL_PAUSE_MS, LookSchedule, Pause, is_still
from edge.match.pdq.hasher import PdqHash

U8 = npt.NDArray[np.uint8]

FRAMES = 5
"""Frames that are averaged for a search."""
MIN_MS = 600
"""Media time that they cover at least."""
PAUSE_MS = 1000
"""From a search that led to nothing to the next frame that is averaged; twice as long after each."""
MAX_PAUSE_MS = 8000
STILL_SEARCH_MS = 24_000
"""From a search to the next one while the picture is what it was."""
LOOK_MS = 1000
"""Between two looks at a screen that shows nothing known while the stream is new …"""
LATER_LOOK_MS = 3000
"""… and later on: a window or a shelf in a room may pass for a screen for hours. Where the picture is what it
was, as long as for any closer look."""


class FramesLookup(Protocol):
    """The matcher of a worker: shared by its streams."""

    def query(self, luma: U8, *, closer: Callable[[PdqHash], bool]) -> tuple[Candidate, ...]:
        """Bank entries that one frame's luma, uint8 ``(h, w)``, may show. ``closer`` is asked, with its hash,
        where it shows none as it is: whether to look for what was changed."""
        ...

    def query_screens(self, luma: U8, screens: Iterable[Quad]) -> tuple[Candidate, ...]:
        """The same of what is on screens in it, each laid flat."""
        ...


class StreamMatcher:
    """Looks the frames of one stream up: each as it is, the dearer looks when their time has come."""

    def __init__(self, frames: FramesLookup) -> None:
        self._frames = frames
        self._looks = LookSchedule()
        self._screens = ScreenWatch()

    def query(self, pts_ms: int, luma: U8) -> tuple[Candidate, ...]:
        """Known footage that a frame, uint8 ``(h, w)``, may show, as such or on a screen; nearest first."""
        unknown: bytes | None = None
        looked: bytes | None = None

        def closer(frame: PdqHash) -> bool:
            nonlocal unknown, looked
            unknown = frame.bits
            if self._looks.due(pts_ms, unknown):
                looked = unknown
            return looked is not None

        found = self._frames.query(luma, closer=closer)
        if not found and unknown is not None:
            found = self._query_screens(pts_ms, luma, unknown)
        self._looks.judged(pts_ms, looked=looked, found=bool(found))
        return found

    def _query_screens(self, pts_ms: int, luma: U8, bits: bytes) -> tuple[Candidate, ...]:
        """The same for a frame that is not known as it is."""
        screens = self._screens.add(pts_ms, luma, bits)
        if not screens:
            return ()
        found = self._frames.query_screens(luma, screens)
        self._screens.looked(pts_ms, bits, bool(found))
        return found


class ScreenWatch:
    """When to search a stream for a screen, and when to look at what is on it. Pure."""

    def __init__(self) -> None:
        self._screens: tuple[Quad, ...] = ()
        self._begin(0, 0, None)
        self._pause_ms = PAUSE_MS
        self._last_ms = 0
        self._new_until_ms: int | None = None
        self._look_pause = Pause()
        self._seen = False

    def add(self, pts_ms: int, luma: U8, bits: bytes) -> tuple[Quad, ...]:
        """Takes a frame that showed nothing known, and its hash; the screens whose picture is to be looked at
        in it.

        Media time that goes back starts anew.
        """
        if pts_ms < self._last_ms:
            self.__init__()  # type: ignore[misc]
        self._last_ms = pts_ms
        if self._new_until_ms is None:
            self._new_until_ms = pts_ms + NEW_MS
        # Where a screen shows something known its corners are good: no search.
        if not self._seen and (self._count or self._may_search(pts_ms, bits)):
            self._average(pts_ms, luma, bits)
        return self._screens if self._look_pause.is_over(pts_ms, bits) else ()

    def looked(self, pts_ms: int, bits: bytes, seen: bool) -> None:
        """Whether the look led to something known: if so every frame is looked at."""
        self._seen = seen
        new = self._new_until_ms is None or pts_ms < self._new_until_ms
        pauses_ms = (0, 0) if seen else (LOOK_MS, LOOK_MS) if new else (LATER_LOOK_MS, STILL_PAUSE_MS)
        self._look_pause.begin(pts_ms, bits, *pauses_ms)

    def _may_search(self, pts_ms: int, bits: bytes) -> bool:
        """Whether an average for a search may begin."""
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
