"""``python -m models.train.record``: notes what the shipped model says of fixed synthetic samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.detect import Detector, default_model_directory
from models.train.index import ROOT

RECORDED = ROOT / "tests" / "models" / "recorded_scores.json"


def synthetic_samples(height: int, width: int) -> dict[str, NDArray[np.uint8]]:
    """Samples that every machine draws alike: uint8 ``(3, height, width)`` by name."""
    random = np.random.default_rng(7)
    rows, columns = np.mgrid[0:height, 0:width]
    texture = ((np.sin(rows / 7) + np.cos(columns / 11)) * 50 + 128).astype(np.uint8)
    still = np.stack([texture] * 3)
    pan = np.stack([np.roll(texture, 6 * step, axis=1) for step in range(3)])
    walker, brawl = still.copy(), still.copy()
    for step in range(3):
        x = width // 3 + 8 * step
        walker[step, height // 2 : height // 2 + 60, x : x + 20] = 30
        for _ in range(12):
            y = int(random.integers(height // 3, height // 2))
            x = int(random.integers(width // 3, width // 2))
            brawl[step, y : y + 30, x : x + 14] = int(random.integers(0, 256))
    noise = random.integers(0, 256, (3, height, width), dtype=np.uint8)
    return {"still": still, "pan": pan, "walker": walker, "brawl": brawl, "noise": noise}


def recorded_scores(detector: Detector) -> dict[str, float]:
    """Calibrated per-sample scores of the first category."""
    samples = synthetic_samples(*detector.input_size)
    return {name: round(float(detector.infer(planes).scores[0]), 4) for name, planes in samples.items()}


def main(target: Path = RECORDED) -> None:
    """Writes what the shipped model says now."""
    detector = Detector.load(default_model_directory())
    content = {"model_sha256": detector.manifest.model.sha256, "scores": recorded_scores(detector)}
    target.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
