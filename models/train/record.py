"""``python -m models.train.record``: records in the manifest the shipped model's logits on drawn samples."""

from __future__ import annotations

import re
from pathlib import Path

from edge.detect import Detector, ModelManifest, default_model_directory, read_manifest
from edge.detect.manifest import MANIFEST_NAME
from edge.detect.recorded import drawn_scores, recorded_logits


def write_manifest_file(directory: Path, manifest: ModelManifest) -> None:
    """Writes ``manifest.json`` with each list of numbers on one line."""
    text = re.sub(
        r"(?<=\[)[-+.e\d,\s]+(?=\])",
        lambda numbers: "".join(numbers[0].split()),
        manifest.model_dump_json(indent=1),
    )
    (directory / MANIFEST_NAME).write_text(text + "\n")


def record(directory: Path) -> None:
    """Replaces ``recorded`` in the manifest of a model. Raises ModelError if the model does not load."""
    manifest, _, _ = read_manifest(directory)
    write_manifest_file(directory, manifest.model_copy(update={"recorded": {}}))
    detector = Detector.load(directory)
    recorded = recorded_logits(drawn_scores(detector.manifest, detector.infer))
    write_manifest_file(directory, manifest.model_copy(update={"recorded": recorded}))


if __name__ == "__main__":
    record(default_model_directory())
