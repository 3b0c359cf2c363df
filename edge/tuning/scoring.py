"""Scores one file with two live pipelines at once: one always in alert tier, one always in calm tier.

The samples and their scores do not depend on thresholds. The tier of a stream does, so
``edge.tuning.simulate`` decides it again for every candidate.
"""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edge.clock import SystemClock
from edge.containment import ProcessRole
from edge.containment import role as roles
from edge.detect import Detector, SampleScore, read_pack
from edge.domain import Signal, Tier, new_stream_id
from edge.errors import TooShort
from edge.match import Matcher
from edge.policy import MatchPolicy, Policy
from edge.replay import spared
from edge.stream import FILE_FRAMES, BitrateJump, StreamPipeline, open_media_file
from edge.tuning.cache import ScoreCache, track_of_bytes, track_to_bytes
from edge.tuning.track import Track, TrackBuilder

Note = Callable[[int, SampleScore], None]


@dataclass(frozen=True, slots=True)
class ScoringSetup:
    """The settings for scoring files. Small enough to send to another process."""

    model_dir: Path
    policy: Policy
    cache_dir: Path

    def open_judge(self) -> Scorer:
        return Scorer(self)

    def role(self, paths: Sequence[Path]) -> ProcessRole:
        return roles.tuning([self.model_dir], paths)

    def take(self, path: Path, report: dict[str, Any]) -> dict[str, Any]:
        """Stores the track in the cache."""
        try:
            track = track_of_bytes(base64.b64decode(report["track"]))
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(str(error)) from None
        with suppress(OSError):
            cache = self._cache()
            cache.store(cache.key(path), track)
        return {"track": track}

    def _cache(self) -> ScoreCache:
        digest = read_pack(self.model_dir).digest
        return ScoreCache(self.cache_dir, digest, self.policy)

    def cached(self) -> Callable[[Path], dict[str, Any] | None]:
        cache = self._cache()

        def look_up(path: Path) -> dict[str, Any] | None:
            with suppress(OSError):
                if (track := cache.load(cache.key(path))) is not None:
                    return {"path": str(path), "track": track}
            return None

        return look_up


class Scorer:
    """Scores files one after another with one detector."""

    def __init__(self, setup: ScoringSetup) -> None:
        self._detector = Detector.load(setup.model_dir)
        self._policy = setup.policy

    def run(self, path: Path, *, windows: bool = False) -> dict[str, Any]:
        """Returns ``{"path", "track"}`` with the track in base64, or the error report of ``spared``."""

        def score() -> dict[str, Any]:
            track = track_to_bytes(score_file(path, self._detector, self._policy))
            return {"path": str(path), "track": base64.b64encode(track).decode()}

        return spared(path, score)


class _Recording:
    """Stands in for the detector in the pipeline. Records every sample and never raises suspicion, so the
    tier stays."""

    def __init__(self, detector: Detector, note: Note) -> None:
        self._detector = detector
        self._note = note
        self.delta_ms: int = detector.delta_ms
        self.digest: str = detector.digest
        self.categories: tuple[str, ...] = detector.categories
        self.input_size: tuple[int, int] = detector.input_size

    def plane(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        return self._detector.plane(frame)

    def infer(self, planes: NDArray[np.uint8]) -> SampleScore:
        return self._detector.infer(planes)

    def new_window(self) -> _Recording:
        return self

    def shares_planes(self, other: object) -> bool:
        return other is self

    def add_sample(self, pts_ms: int, sample: SampleScore, tier: Tier) -> tuple[Signal, ...]:
        self._note(pts_ms, sample)
        return ()


def score_file(path: Path, detector: Detector, policy: Policy) -> Track:
    """Scores one file. Raises OSError, and what the pipeline raises for media that it cannot judge."""
    builder = TrackBuilder(detector.manifest)
    calm_policy = policy.model_copy(
        update={
            "match": MatchPolicy(enabled=False),
            "tiers": policy.tiers.model_copy(update={"start_alert_ms": 0, "bitrate_jump": 0.0}),
        }
    )
    matcher = Matcher.open(None, radius=policy.match.radius)
    jump = BitrateJump()
    with open_media_file(path) as media:

        def pipeline(note: Note) -> StreamPipeline:
            return StreamPipeline(
                new_stream_id(),
                media.codec,
                media.extradata,
                calm_policy,
                _Recording(detector, note),
                matcher,
                SystemClock(),
                largest=FILE_FRAMES,
            )

        alert, calm = pipeline(builder.add_alert), pipeline(builder.add_calm)
        start_ms: int | None = None
        last_ms = 0
        for unit in media.units():
            start_ms = unit.pts_ms if start_ms is None else min(start_ms, unit.pts_ms)
            last_ms = max(last_ms, unit.pts_ms)
            ratio = policy.tiers.bitrate_jump
            if ratio and not unit.keyframe and jump.add_unit(unit.dts_ms, len(unit.data), ratio):
                builder.jumps.append(unit.pts_ms)
            alert.ask_alert()
            for stream in (alert, calm):
                for sample in stream.decode(unit):
                    stream.judge(sample)
        for stream in (alert, calm):
            for sample in stream.drain():
                stream.judge(sample)
        duration_ms = round(media.duration_s * 1000) or last_ms - (start_ms or 0)
    track = builder.build(start_ms or 0, duration_ms)
    if not len(track.alert_ms):
        raise TooShort(f"{path}: too short for one sample")
    return track
