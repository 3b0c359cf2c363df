"""``python -m models.train.record [DIR]``: records a model's scores of drawn samples in its manifest.

Without a folder: those of the shipped model.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from edge.detect import Detector, PackFiles, default_model_directory, read_pack
from edge.detect.pack_files import MANIFEST_NAME, PackManifest
from edge.detect.recorded import drawn_scores, recorded_logits, window_logits


def write_manifest_file(directory: Path, manifest: PackManifest) -> None:
    """Writes ``manifest.json`` with each list of numbers on one line."""
    text = re.sub(
        r"(?<=\[)[-+.e\d,\s]+(?=\])",
        lambda numbers: "".join(numbers[0].split()),
        manifest.model_dump_json(indent=1),
    )
    (directory / MANIFEST_NAME).write_text(text + "\n")


def record(directory: Path) -> None:
    """Replaces the recorded scores in the manifest of a model. Raises ModelError if it does not load."""
    pack = read_pack(directory)
    write_manifest_file(directory, _with(pack, {"recorded": {}, "recorded_windows": {}}))
    detector = Detector.load(directory)
    scores = drawn_scores(detector.manifest, detector.infer)
    windows = window_logits(detector.manifest, scores)
    recorded = {"recorded": recorded_logits(scores), "recorded_windows": windows}
    write_manifest_file(directory, _with(pack, recorded))


def _with(pack: PackFiles, values: dict[str, Any]) -> PackManifest:
    """The pack's manifest with other values in its motion model."""
    models = [
        model.model_copy(update=values) if model is pack.motion else model for model in pack.manifest.models
    ]
    return pack.manifest.model_copy(update={"models": tuple(models)})


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else default_model_directory())
