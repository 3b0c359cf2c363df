"""Checks with drawn frames that a frame model scores here as on the machine that exported it.

The frames are the drawn samples of motion models: their three planes serve as red, green and blue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edge.detect.manifest import DrawnSample
from edge.detect.recorded import drawn_samples
from edge.detect.sight.frame_scaler import Rgb
from edge.detect.witness_specs import FrameSpec

FrameScores = Mapping[DrawnSample, tuple[float, ...]]
"""Scores of drawn frames, one for each category."""


def drawn_frames(spec: FrameSpec) -> dict[DrawnSample, Rgb]:
    """Returns the drawn frames as a model with this input gets them, uint8 ``(height, width, 3)``."""
    drawn = drawn_samples(spec.input.height, spec.input.width)
    return {name: np.ascontiguousarray(planes.transpose(1, 2, 0)) for name, planes in drawn.items()}


def frame_scores(spec: FrameSpec, infer: Callable[[Rgb], Mapping[str, float]]) -> FrameScores:
    """Returns a model's scores of every drawn frame, for ``FrameSpec.recorded``."""
    found: dict[DrawnSample, tuple[float, ...]] = {}
    for name, picture in drawn_frames(spec).items():
        scores = infer(picture)
        found[name] = tuple(round(scores[category.name], 4) for category in spec.categories)
    return found


def frame_missed_by(spec: FrameSpec, scores: FrameScores) -> dict[str, float]:
    """Returns how far the scores are from the recorded ones: for each frame the largest distance.

    Empty where the manifest records nothing.
    """
    return {
        f"frame {name!r}": float(np.abs(np.subtract(scores[name], recorded)).max())
        for name, recorded in spec.recorded.items()
    }
