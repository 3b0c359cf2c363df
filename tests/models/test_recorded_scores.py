"""The shipped model says today what it said when it was exported."""

from __future__ import annotations

import json

import pytest

from edge.detect import Detector, default_model_directory
from models.train.record import RECORDED, recorded_scores

TOLERANCE = 0.03
"""int8 kernels of different CPUs round differently."""


def test_recorded_scores() -> None:
    detector = Detector.load(default_model_directory())
    recorded = json.loads(RECORDED.read_text())
    assert recorded["model_sha256"] == detector.manifest.model.sha256, "run python -m models.train.record"
    assert recorded_scores(detector) == pytest.approx(recorded["scores"], abs=TOLERANCE)
    assert len(set(recorded["scores"].values())) > 1
