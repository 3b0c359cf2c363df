"""Checks that the models of a pack keep their contract and their time budget on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.audio_windows import STEP_FRAMES, AudioWindows
from edge.detect.audio.log_mel import HOP, RATE
from edge.detect.detector import Detector
from edge.detect.loaded_pack import LoadedPack
from edge.detect.manifest import MotionSpec
from edge.detect.pack_files import read_pack
from edge.detect.recorded import drawn_scores, missed_by
from edge.detect.sight.frame_model import FrameModel
from edge.detect.witness_specs import WitnessSpec
from edge.domain import Tier

FRAME = (720, 1280)
"""Height and width of the frames that the timing scales."""
ROUNDS = 60


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """One model of a pack that was loaded, verified and timed. Times as in ``PackCheck``."""

    name: str
    version: str
    kind: str
    """motion, frame or audio."""
    categories: tuple[str, ...]
    model_sha256: str
    model_bytes: int
    unit: str
    """What the times are of: a sample of three frames, one frame, or a window of audio."""
    ms_p50: float
    """Time for everything from decoded media to the scores."""
    ms_p95: float
    recorded_missed_by: float | None
    """Largest distance from a recorded score, as a probability. None where the manifest records none."""


@dataclass(frozen=True, slots=True)
class PackCheck:
    """The result for a pack that was loaded, verified and timed.

    Times are milliseconds of CPU time of one core on this machine, so other load counts little. What is of
    no named model is of the motion model.
    """

    name: str
    version: str
    digest: str
    model_sha256: str
    model_bytes: int
    categories: tuple[str, ...]
    """Of all models."""
    input_size: tuple[int, int]
    delta_ms: int
    sample_ms_p50: float
    """Time for scaling three 720p frames, running the graph and judging the window."""
    sample_ms_p95: float
    infer_ms_p50: float
    precise_kernels: bool
    """Whether slower, precise kernels are used, because the usual 8-bit ones score differently here."""
    recorded_missed_by: float | None
    """Largest distance from a recorded score of any model. None where the manifest records none."""
    models: tuple[CheckedModel, ...]
    budget_ms: float
    within_budget: bool
    """Whether no model costs more for one sample, frame or window."""


def check_model(directory: Path, budget_ms: float) -> PackCheck:
    """Loads, verifies and times a pack. Raises ModelError where a model breaks its contract."""
    files = read_pack(directory)
    pack = LoadedPack.of(files)
    detector = pack.detector
    whole, inference = _time_samples(detector)
    manifest = detector.manifest
    motion = _checked(manifest, "sample", whole, missed_by(manifest, drawn_scores(manifest, detector.infer)))
    models = [motion]
    if pack.audio is not None:
        spec = pack.audio.spec
        models.append(_checked(spec, "window of audio", _time_windows(pack.audio), pack.audio.missed_by()))
    if pack.sight is not None:
        seen = pack.sight
        models.append(_checked(seen.spec, "frame", _time_frames(seen), seen.missed_by()))
    distances = [model.recorded_missed_by for model in models if model.recorded_missed_by is not None]
    return PackCheck(
        name=files.manifest.name,
        version=files.manifest.version,
        digest=detector.digest,
        model_sha256=motion.model_sha256,
        model_bytes=motion.model_bytes,
        categories=tuple(name for model in models for name in model.categories),
        input_size=detector.input_size,
        delta_ms=detector.delta_ms,
        sample_ms_p50=motion.ms_p50,
        sample_ms_p95=motion.ms_p95,
        infer_ms_p50=round(float(np.median(inference)), 3),
        precise_kernels=detector.precise,
        recorded_missed_by=max(distances) if distances else None,
        models=tuple(models),
        budget_ms=budget_ms,
        within_budget=all(model.ms_p50 <= budget_ms for model in models),
    )


def _checked(
    spec: MotionSpec | WitnessSpec, unit: str, ms: Sequence[float], distances: Mapping[str, float]
) -> CheckedModel:
    p50, p95 = (float(value) for value in np.quantile(ms, (0.5, 0.95)))
    return CheckedModel(
        name=spec.name,
        version=spec.version,
        kind=spec.kind,
        categories=tuple(category.name for category in spec.categories),
        model_sha256=spec.model.sha256,
        model_bytes=spec.model.bytes,
        unit=unit,
        ms_p50=round(p50, 3),
        ms_p95=round(p95, 3),
        recorded_missed_by=round(max(distances.values()), 4) if distances else None,
    )


def _time_samples(detector: Detector) -> tuple[list[float], list[float]]:
    """Milliseconds of each sample, and of its graph alone."""
    frames = _frames()
    window = detector.new_window()
    whole, inference = list[float](), list[float]()
    for index in range(ROUNDS):
        start = time.thread_time()
        planes = np.stack([detector.plane(frame) for frame in frames])
        scaled = time.thread_time()
        sample = detector.infer(planes)
        inferred = time.thread_time()
        window.add_sample(index * 200, sample, Tier.ALERT)
        whole.append((time.thread_time() - start) * 1e3)
        inference.append((inferred - scaled) * 1e3)
    return whole, inference


def _time_windows(model: AudioModel) -> list[float]:
    """Milliseconds of each window, from 16 kHz samples on."""
    step = STEP_FRAMES * HOP
    audio = np.random.default_rng(0).uniform(-0.1, 0.1, (ROUNDS, step)).astype(np.float32)
    windows = AudioWindows(model.rules)
    windows.go_on = True
    found = list[float]()
    for index, samples in enumerate(audio):
        start = time.thread_time()
        for window in windows.add_samples(samples, 1000 * index * step / RATE, restarted=False):
            if window.patch is not None:
                model.infer(window.patch)
        found.append((time.thread_time() - start) * 1e3)
    return found[1:]  # the first window ends in the second half second


def _time_frames(model: FrameModel) -> list[float]:
    """Milliseconds of each frame, from the decoded frame on."""
    frames = _frames()
    found = list[float]()
    for index in range(ROUNDS):
        start = time.thread_time()
        model.infer(model.picture(frames[index % len(frames)]))
        found.append((time.thread_time() - start) * 1e3)
    return found


def _frames() -> list[av.VideoFrame]:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (*FRAME, 3), dtype=np.uint8)
    frames = []
    for step in range(3):
        moved = np.roll(picture, 9 * step, axis=1)
        frames.append(av.VideoFrame.from_ndarray(moved, format="rgb24").reformat(format="yuv420p"))
    return frames
