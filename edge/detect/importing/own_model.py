"""Reads an ONNX file with a manifest entry of its own, as it joins a pack."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.recorded_audio import audio_scores
from edge.detect.manifest import MAX_MODEL_BYTES
from edge.detect.pack_files import MAX_MANIFEST_BYTES, SCHEMA, parse_manifest
from edge.detect.sight.frame_model import FrameModel
from edge.detect.sight.recorded_frames import frame_scores
from edge.detect.witness_specs import AudioSpec, FrameSpec
from edge.errors import ConfigError, ModelError
from edge.settings_file import read_settings_file

_FILLED = ("file", "sha256", "bytes")


class OwnModel(NamedTuple):
    """A model that a worker can load, and what a manifest says of it."""

    spec: AudioSpec | FrameSpec
    onnx: bytes


def read_own_model(file: Path, entry: Path) -> OwnModel:
    """Reads and runs the model. Fills in ``model``, and ``recorded`` where the entry has none.

    Raises ModelError that names the file and the field.
    """
    try:
        onnx = read_settings_file(file, MAX_MODEL_BYTES)
        values = json.loads(read_settings_file(entry, MAX_MANIFEST_BYTES))
    except ConfigError as error:
        raise ModelError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{entry}: is no JSON: {error}") from None
    if not isinstance(values, dict) or "models" in values:
        raise ModelError(f"{entry}: is no entry of `models`: a JSON object with kind, name, input, output, …")
    if values.get("kind") not in ("audio", "frame"):
        raise ModelError(f"{entry}: kind: {values.get('kind')!r} is neither audio nor frame")
    found = dict(zip(_FILLED, (file.name, hashlib.sha256(onnx).hexdigest(), len(onnx)), strict=True))
    for name, value in (values.get("model") or {}).items():
        if found.get(name, value) != value:
            raise ModelError(f"{entry}: model.{name}: is {value!r}, that of {file} is {found[name]!r}")
    pack = {"schema_version": SCHEMA, "name": "own", "version": "1", "models": [values | {"model": found}]}
    try:
        (spec,) = parse_manifest(json.dumps(pack).encode(), entry).models
    except ModelError as error:
        raise ModelError(str(error).replace("models.0.", "")) from None
    if isinstance(spec, AudioSpec):
        heard = AudioModel.load(spec, onnx, file)
        sounds = spec.recorded or audio_scores(spec, heard.infer)
        return OwnModel(spec.model_copy(update={"recorded": sounds}), onnx)
    assert isinstance(spec, FrameSpec)
    seen = FrameModel.load(spec, onnx, file)
    pictures = spec.recorded or frame_scores(spec, seen.infer)
    return OwnModel(spec.model_copy(update={"recorded": pictures}), onnx)
