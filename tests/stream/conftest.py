"""A pipeline around a detector with scripted scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from edge.clock import ManualClock
from edge.detect.double import ScriptedDetector
from edge.domain import AccessUnit, Sample, StreamId
from edge.match import Matcher
from edge.policy import Mode, Policy
from edge.stream import Judgement, StreamPipeline
from edge.stream.synthetic import EncodedMedia


@dataclass
class Watched:
    """A pipeline and everything that it reported."""

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
        seed: bytes | None = None,
        samples: int | None = None,
    ) -> Watched:
        detector = ScriptedDetector(score_at, samples=samples)
        pipeline = StreamPipeline(
            StreamId("st_test"),
            media.codec,
            media.extradata if extradata is None else extradata,
            policy or Policy(mode=Mode.ENFORCE),
            detector,
            matcher or Matcher.open(None),
            ManualClock(now_monotonic_ms=1000.0),
            alert=alert,
            seed=seed,
        )
        return Watched(pipeline, detector)


@pytest.fixture
def watch() -> Watch:
    return Watch()
