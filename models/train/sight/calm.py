"""Scores calm footage as the gate would look at it: one frame a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from models.train.sight.export import Seer

STEP_S = 1.0


class Watched(NamedTuple):
    """A recording and the logits of its frames, one a second."""

    path: Path
    logits: NDArray[np.float64]

    @property
    def hours(self) -> float:
        return len(self.logits) * STEP_S / 3600


def frames(path: Path, step_s: float = STEP_S) -> Iterator[av.VideoFrame]:
    """The first frame at or after every step."""
    with av.open(str(path)) as container:
        due, first = 0.0, None
        for frame in container.decode(video=0):
            if frame.time is None:
                continue
            first = frame.time if first is None else first
            if frame.time - first >= due:
                yield frame
                due += step_s


def watch(seer: Seer, path: Path) -> Watched:
    return Watched(path, np.array([seer.logit(frame) for frame in frames(path)]))


def false_flags(watched: list[Watched], threshold: float, in_a_row: int) -> float:
    """Flags an hour over the recordings together. A flag ends when a frame falls below the threshold."""
    flags, hours = 0, 0.0
    for recording in watched:
        run = 0
        for over in recording.logits >= threshold:
            run = run + 1 if over else 0
            flags += run == in_a_row
        hours += recording.hours
    return flags / hours if hours else float("nan")
