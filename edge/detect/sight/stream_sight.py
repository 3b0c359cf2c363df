"""What looks at the frames of one stream: which are due, their scores over time, and the signals that
follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import av

from edge.detect.sight.frame_scaler import Rgb
from edge.detect.witness_persistence import Stretch, WitnessPersistence
from edge.detect.witness_specs import FrameTimes, KOfN
from edge.domain import ModelKind, Signal

MOST_WAITING: Final = 4
"""Most frames that wait to be judged. The oldest goes first."""
_EARLY_MS: Final = 50
"""Frames do not come exactly at the second. One that comes so early is taken, else the next keyframe would be
a whole GOP later."""
_GAP: Final = 2.0
"""Calm intervals between two frames from which on there is a gap. Keyframes come later than asked for."""


class SeesFrames(Protocol):
    """The frame model, as far as a stream needs it."""

    @property
    def every(self) -> FrameTimes: ...

    def picture(self, frame: av.VideoFrame) -> Rgb: ...

    def infer(self, picture: Rgb) -> Mapping[str, float]: ...

    def persistence(self, on: Collection[str]) -> dict[str, KOfN]: ...

    def goes_on(self, scores: Mapping[str, float]) -> bool: ...


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """A frame that waits to be judged."""

    pts_ms: int
    arrival_ms: float
    """Monotonic arrival of the access unit after which the decoder returned it."""
    rgb: Rgb = field(repr=False)


class StreamSight:
    """Looks at one stream with one model, for the categories that are on. Not thread-safe."""

    def __init__(self, model: SeesFrames, on: Collection[str]) -> None:
        self.lost = 0
        """Number of due frames that were not judged since the caller last cleared it."""
        self.goes_on = False
        """Whether the newest judged frame asks for the next one soon."""
        self.alert = False
        """Whether the stream is in the alert tier for a reason. Its pipeline sets it."""
        self.came = False
        """Whether a frame came since the caller last cleared it."""
        self._model = model
        self._on = frozenset(on)
        step_ms = _GAP * max(model.every.calm_ms, model.every.alert_ms)
        self._persistence = WitnessPersistence(model.persistence(on), ModelKind.FRAME, step_ms, "frames")
        self._waiting: deque[SeenFrame] = deque()
        self._taken_ms: int | None = None

    def fits(self, model: object, on: Collection[str]) -> bool:
        """Whether it looks with this model, for these categories."""
        return model is self._model and frozenset(on) == self._on

    @property
    def look_again_ms(self) -> int:
        """Media time from a frame that goes on until the next one is sure to be taken."""
        return self._model.every.alert_ms * 3 // 2

    def wants(self, pts_ms: int) -> bool:
        """Whether a decoded frame at ``pts_ms`` is due."""
        if self._taken_ms is None:
            return True
        every = self._model.every.alert_ms if self.alert or self.goes_on else self._model.every.calm_ms
        return not 0 <= pts_ms - self._taken_ms < every - _EARLY_MS

    def add_frame(self, frame: av.VideoFrame, pts_ms: int, arrival_ms: float) -> None:
        """Takes a frame that is due. It waits for ``waiting``."""
        self._taken_ms, self.came = pts_ms, True
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(SeenFrame(pts_ms, arrival_ms, self._model.picture(frame)))

    def waiting(self) -> Iterator[SeenFrame]:
        """Yields and removes the frames that wait, oldest first."""
        while self._waiting:
            yield self._waiting.popleft()

    def judge(self, picture: SeenFrame) -> tuple[Signal, ...]:
        """Judges a frame. Returns one signal for each category that is on."""
        found = self._model.infer(picture.rgb)
        scores = {name: score for name, score in found.items() if name in self._on}
        self.goes_on = self._model.goes_on(scores)
        return self._persistence.add_scores(Stretch(picture.pts_ms, picture.pts_ms), scores)

    def pass_over(self, picture: SeenFrame) -> None:
        """Counts a frame that there is no time for. What was seen before it stands until it is out of
        date."""
        self.lost += 1

    def expire(self, pts_ms: int) -> tuple[Signal, ...]:
        """Ends what was seen before a gap in the frames, if the stream is at ``pts_ms``. Returns the last
        signals."""
        return self.settle(pts_ms) if self._persistence.is_out_of_date(pts_ms) else ()

    def settle(self, pts_ms: int) -> tuple[Signal, ...]:
        """Ends what is going on, because nobody looks any more. Returns the last signals."""
        self._waiting.clear()
        self.goes_on = False
        return self._persistence.settle(pts_ms)
