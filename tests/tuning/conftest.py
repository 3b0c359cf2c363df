"""A small model and made-up tracks. Scores are the mean logits of the window, uncalibrated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.detect.manifest import MotionSpec
from edge.policy import TierPolicy
from edge.tuning.labels import LabelledFile, Span
from edge.tuning.simulate import Simulator
from edge.tuning.track import Track

STEP_MS = 200
PLAIN = {"slope": 1.0, "offset": 0.0}


def manifest(**head: object) -> MotionSpec:
    return MotionSpec.model_validate(
        {
            "name": "small",
            "version": "1",
            "model": {"file": "m.onnx", "sha256": "0" * 64, "bytes": 1},
            "input": {"name": "planes", "height": 32, "width": 32, "delta_ms": 100},
            "output": {"embedding": "embedding", "embedding_size": 4, "logits": "logits"},
            "window_ms": 1000,
            "categories": [
                {
                    "name": "fight",
                    "sample": PLAIN,
                    "head": {"logit_mean": 1.0} | head,
                    "window": {"calm": PLAIN, "alert": PLAIN},
                    "thresholds": {"raise_tier": 0.2, "flag": 0.5, "cut": 0.9},
                }
            ],
        }
    )


def logit(score: float) -> float:
    score = min(max(score, 1e-6), 1 - 1e-6)
    return float(np.log(score / (1 - score)))


def track(scores: Sequence[float], calm_every: int = 5, jumps: Sequence[int] = ()) -> Track:
    """One alert sample each STEP_MS with these scores. Every fifth is a calm sample, too."""
    times = np.arange(len(scores), dtype=np.int64) * STEP_MS
    logits = np.array([[logit(score)] for score in scores])
    return Track(
        duration_ms=len(scores) * STEP_MS,
        alert_ms=times,
        alert_reduced=np.zeros((len(scores), 3)),
        alert_logits=logits.reshape(-1, 1),
        calm_ms=times[::calm_every],
        calm_reduced=np.zeros((len(times[::calm_every]), 3)),
        calm_logits=logits[::calm_every].reshape(-1, 1),
        jumps_ms=np.array(jumps, dtype=np.int64),
    )


def footage(name: str, violent: bool, group: str = "") -> LabelledFile:
    return LabelledFile(Path(name), group or name, "made", (Span(0, None, violent),))


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(manifest(), "fight", TierPolicy(start_alert_ms=1000, alert_hold_ms=1000))
