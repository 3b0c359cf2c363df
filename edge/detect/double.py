"""A double of the model: it makes real planes, and a test sets the scores by media time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import av
import numpy as np
import numpy.typing as npt

from edge.detect.plane import PlaneScaler
from edge.domain import Signal, SignalSource, Tier

_Luma = npt.NDArray[np.uint8]


@dataclass
class ScriptedDetector:
    """Stands in for a Detector. ``score_at`` returns the score in [0, 1] of the sample at a pts in ms."""

    score_at: Callable[[int], float] = lambda pts_ms: 0.0
    delta_ms: int = 100
    digest: str = "0" * 64
    categories: tuple[str, ...] = ("fight",)
    input_size: tuple[int, int] = (64, 64)
    planes: list[_Luma] = field(default_factory=list)
    """Planes of each sample that was scored, uint8 ``(3, H, W)``."""
    samples: int | None = None
    """Number of samples that its windows hold. None: its scores count as they are."""

    def __post_init__(self) -> None:
        self._scaler = PlaneScaler(*self.input_size)

    def plane(self, frame: av.VideoFrame) -> _Luma:
        return self._scaler.plane(frame)

    def infer(self, planes: _Luma) -> _Luma:
        assert planes.shape == (3, *self.input_size)
        assert planes.dtype == np.uint8
        self.planes.append(planes)
        return planes

    def new_window(self) -> ScriptedWindow:
        return ScriptedWindow(self.score_at, self.samples)

    def shares_planes(self, other: object) -> bool:
        assert isinstance(other, ScriptedDetector)
        return (self.input_size, self.delta_ms) == (other.input_size, other.delta_ms)


@dataclass
class ScriptedWindow:
    """Stands in for a DetectWindow. Each sample gives one signal of the category ``fight``."""

    score_at: Callable[[int], float]
    samples: int | None = None

    def add_sample(self, pts_ms: int, sample: object, tier: Tier) -> tuple[Signal, ...]:
        score = self.score_at(pts_ms)
        return (Signal(SignalSource.DETECT, "fight", pts_ms, score, samples=self.samples),)
