"""Checks that a model keeps its contract and its time budget on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from edge.detect.detector import Detector
from edge.detect.recorded import drawn_scores, missed_by
from edge.domain import Tier

FRAME = (720, 1280)
"""Height and width of the frames that the timing scales."""
ROUNDS = 60


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The result for a model that was loaded, verified and timed.

    Times are milliseconds of CPU time of one core on this machine, so other load counts little.
    """

    name: str
    version: str
    digest: str
    model_sha256: str
    model_bytes: int
    categories: tuple[str, ...]
    input_size: tuple[int, int]
    delta_ms: int
    sample_ms_p50: float
    """Time for scaling three 720p frames, running the graph and judging the window."""
    sample_ms_p95: float
    infer_ms_p50: float
    precise_kernels: bool
    """Whether slower, precise kernels are used, because the usual 8-bit ones score differently here."""
    recorded_missed_by: float | None
    """Largest distance from a recorded score, as a probability. None where the manifest records none."""
    budget_ms: float
    within_budget: bool


def check_model(directory: Path, budget_ms: float) -> ModelCheck:
    """Loads, verifies and times a model directory. Raises ModelError where the model breaks its contract."""
    detector = Detector.load(directory)
    frames = _frames()
    window = detector.new_window()
    whole, inference = [], []
    for index in range(ROUNDS):
        start = time.thread_time()
        planes = np.stack([detector.plane(frame) for frame in frames])
        scaled = time.thread_time()
        sample = detector.infer(planes)
        inferred = time.thread_time()
        window.add_sample(index * 200, sample, Tier.ALERT)
        whole.append((time.thread_time() - start) * 1e3)
        inference.append((inferred - scaled) * 1e3)
    p50, p95 = (float(value) for value in np.quantile(whole, (0.5, 0.95)))
    manifest = detector.manifest
    distances = missed_by(manifest, drawn_scores(manifest, detector.infer)).values()
    return ModelCheck(
        name=manifest.name,
        version=manifest.version,
        digest=detector.digest,
        model_sha256=manifest.model.sha256,
        model_bytes=manifest.model.bytes,
        categories=detector.categories,
        input_size=detector.input_size,
        delta_ms=detector.delta_ms,
        sample_ms_p50=round(p50, 3),
        sample_ms_p95=round(p95, 3),
        infer_ms_p50=round(float(np.median(inference)), 3),
        precise_kernels=detector.precise,
        recorded_missed_by=round(max(distances), 4) if distances else None,
        budget_ms=budget_ms,
        within_budget=p50 <= budget_ms,
    )


def _frames() -> list[av.VideoFrame]:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (*FRAME, 3), dtype=np.uint8)
    frames = []
    for step in range(3):
        moved = np.roll(picture, 9 * step, axis=1)
        frames.append(av.VideoFrame.from_ndarray(moved, format="rgb24").reformat(format="yuv420p"))
    return frames
