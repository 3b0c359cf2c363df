"""``python -m models.train.record [DIR]``: records a model's scores of drawn samples in its manifest.

Without a folder: those of the shipped model.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from edge.detect import Detector, ModelManifest, default_model_directory, read_manifest
from edge.detect.manifest import MANIFEST_NAME
from edge.detect.recorded import drawn_scores, recorded_logits, window_logits


def write_manifest_file(directory: Path, manifest: ModelManifest) -> None:
    """Writes ``manifest.json`` with each list of numbers on one line."""
    text = re.sub(
        r"(?<=\[)[-+.e\d,\s]+(?=\])",
        lambda numbers: "".join(numbers[0].split()),
        manifest.model_dump_json(indent=1),
    )
    (directory / MANIFEST_NAME).write_text(text + "\n")


def record(directory: Path) -> None:
    """Replaces the recorded scores in the manifest of a model. Raises ModelError if it does not load."""
    manifest, _, _ = read_manifest(directory)
    write_manifest_file(directory, manifest.model_copy(update={"recorded": {}, "recorded_windows": {}}))
    detector = Detector.load(directory)
    scores = drawn_scores(detector.manifest, detector.infer)
    recorded = {"recorded": recorded_logits(scores), "recorded_windows": window_logits(manifest, scores)}
    write_manifest_file(directory, manifest.model_copy(update=recorded))


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else default_model_directory())
