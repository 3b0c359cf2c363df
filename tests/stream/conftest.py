"""A pipeline around a detector whose scores a test writes down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import av
import numpy as np
import pytest

from edge.clock import ManualClock
from edge.detect import PlaneScaler
from edge.domain import AccessUnit, Sample, Signal, SignalSource, StreamId, Tier
from edge.match import Matcher
from edge.policy import Policy
from edge.stream import Judgement, StreamPipeline
from edge.stream.ports import Luma
from edge.stream.synthetic import EncodedMedia


@dataclass
class ScriptedDetector:
    """Real planes, scores by media time: the model is the business of tests of detect."""

    score_at: Callable[[int], float] = lambda pts_ms: 0.0
    delta_ms: int = 100
    digest: str = "0" * 64
    input_size: tuple[int, int] = (64, 64)
    planes: list[Luma] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._scaler = PlaneScaler(*self.input_size)

    def plane(self, frame: av.VideoFrame) -> Luma:
        return self._scaler.plane(frame)

    def infer(self, planes: Luma) -> Luma:
        assert planes.shape == (3, *self.input_size)
        assert planes.dtype == np.uint8
        self.planes.append(planes)
        return planes

    def new_window(self) -> ScriptedWindow:
        return ScriptedWindow(self.score_at)

    def shares_planes(self, other: object) -> bool:
        assert isinstance(other, ScriptedDetector)
        return (self.input_size, self.delta_ms) == (other.input_size, other.delta_ms)


@dataclass
class ScriptedWindow:
    score_at: Callable[[int], float]

    def add(self, pts_ms: int, sample: object, tier: Tier) -> tuple[Signal, ...]:
        return (Signal(SignalSource.DETECT, "fight", pts_ms, self.score_at(pts_ms)),)


@dataclass
class Watched:
    """A pipeline, and everything that it said."""

    pipeline: StreamPipeline
    detector: ScriptedDetector
    samples: list[Sample] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)

    def feed(self, units: Iterable[AccessUnit], *, end: bool = False) -> Watched:
        """Decodes and judges everything at once."""
        for unit in units:
            self._judge(self.pipeline.decode(unit))
        if end:
            self._judge(self.pipeline.drain())
        return self

    def _judge(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            self.samples.append(sample)
            self.judgements.append(self.pipeline.judge(sample))

    @property
    def times(self) -> list[int]:
        return [sample.pts_ms for sample in self.samples]


class Watch:
    """Makes pipelines for encoded media."""

    def __call__(
        self,
        media: EncodedMedia,
        policy: Policy | None = None,
        *,
        score_at: Callable[[int], float] = lambda pts_ms: 0.0,
        alert: bool = False,
        extradata: bytes | None = None,
        matcher: Matcher | None = None,
    ) -> Watched:
        detector = ScriptedDetector(score_at)
        pipeline = StreamPipeline(
            StreamId("st_test"),
            media.codec,
            media.extradata if extradata is None else extradata,
            policy or Policy(),
            detector,
            matcher or Matcher.open(None),
            ManualClock(now_monotonic_ms=1000.0),
            alert=alert,
        )
        return Watched(pipeline, detector)


@pytest.fixture
def watch() -> Watch:
    return Watch()
