"""The manifest of a pack: an entry for each model, and what each scores of drawn samples.

``python -m models.train.record [DIR]`` records the scores of all models of a pack. Without a folder: those of
the shipped pack. Training puts its model in with ``put_model``, which keeps the other entries.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

from edge.detect import default_model_directory, read_pack
from edge.detect.audio.recorded_audio import audio_scores
from edge.detect.loaded_pack import LoadedPack
from edge.detect.manifest import MotionSpec
from edge.detect.pack_files import MANIFEST_NAME, SCHEMA, PackManifest, parse_manifest
from edge.detect.recorded import drawn_scores, recorded_logits, window_logits
from edge.detect.sight.recorded_frames import frame_scores
from edge.detect.witness_specs import WitnessSpec

PACK: Final = "edge-gate"
"""Name of the shipped pack."""

Spec = MotionSpec | WitnessSpec


def write_manifest_file(directory: Path, manifest: PackManifest) -> None:
    """Writes ``manifest.json`` with each list of numbers on one line."""
    text = re.sub(
        r"(?<=\[)[-+.e\d,\s]+(?=\])",
        lambda numbers: "".join(numbers[0].split()),
        manifest.model_dump_json(indent=1),
    )
    (directory / MANIFEST_NAME).write_text(text + "\n")


def put_model(directory: Path, spec: Spec) -> None:
    """Puts a model, whose file is in ``directory``, into the manifest there, and records its scores.

    It takes the place of the model of its kind. The other entries stay as they are. The pack's version counts
    up. Raises ModelError.
    """
    path = directory / MANIFEST_NAME
    before = parse_manifest(path.read_bytes(), path) if path.exists() else None
    models: list[Spec] = [] if before is None else list(before.models)
    same = [at for at, other in enumerate(models) if other.kind == spec.kind]
    if same:
        models[same[0]] = spec
    else:
        models.append(spec)
    version = int(before.version) + 1 if before is not None and before.version.isdecimal() else 1
    write_manifest_file(
        directory, PackManifest(schema_version=SCHEMA, name=PACK, version=str(version), models=tuple(models))
    )
    record(directory, spec.name)


def record(directory: Path, only: str = "") -> None:
    """Replaces the recorded scores of all models, or of one, in a pack's manifest.

    Raises ModelError if the pack does not load.
    """
    manifest = read_pack(directory).manifest
    chosen = [model for model in manifest.models if only in ("", model.name)]
    nothing: dict[str, Any] = {"recorded": {}}
    blank = {
        model.name: nothing | ({"recorded_windows": {}} if isinstance(model, MotionSpec) else {})
        for model in chosen
    }
    write_manifest_file(directory, _with(manifest, blank))
    pack = LoadedPack.load(directory)
    values: dict[str, dict[str, Any]] = {}
    scores = drawn_scores(pack.detector.manifest, pack.detector.infer)
    windows = window_logits(pack.detector.manifest, scores)
    values[pack.detector.manifest.name] = {"recorded": recorded_logits(scores), "recorded_windows": windows}
    if pack.audio is not None:
        values[pack.audio.spec.name] = {"recorded": audio_scores(pack.audio.spec, pack.audio.infer)}
    if pack.sight is not None:
        values[pack.sight.spec.name] = {"recorded": frame_scores(pack.sight.spec, pack.sight.infer)}
    write_manifest_file(directory, _with(manifest, {name: values.get(name, {}) for name in blank}))


def _with(manifest: PackManifest, values: dict[str, dict[str, Any]]) -> PackManifest:
    """The manifest with other values in the models of these names."""
    models = tuple(model.model_copy(update=values.get(model.name, {})) for model in manifest.models)
    return manifest.model_copy(update={"models": models})


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else default_model_directory())
