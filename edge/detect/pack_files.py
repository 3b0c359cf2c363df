"""``manifest.json`` of a model pack: the contract between the gate and the models that it loads.

A pack is a folder with a manifest and the ONNX files that it names. A manifest of schema 1 is that of a pack
of one motion model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from edge.detect.manifest import MAX_MODEL_BYTES, ManifestPart, ModelFile, MotionSpec
from edge.detect.witness_specs import AudioSpec, FrameSpec
from edge.errors import ConfigError, ModelError
from edge.settings_file import read_settings_file

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_MODELS: Final = 8
SCHEMA: Final = 2
KINDS: Final = ("motion", "frame", "audio")

AnySpec = Annotated[MotionSpec | FrameSpec | AudioSpec, Field(discriminator="kind")]


class PackManifest(ManifestPart):
    """The whole content of ``manifest.json``."""

    schema_version: Literal[2]
    name: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=32)
    models: tuple[AnySpec, ...] = Field(min_length=1, max_length=MAX_MODELS)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, names in (
            ("models: names", [model.name for model in self.models]),
            ("models: files", [model.model.file for model in self.models]),
            ("categories: names", list(self.categories)),
        ):
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} repeat: {', '.join(repeated)}")
        if sum(model.kind == "motion" for model in self.models) > 1:
            raise ValueError("models: more than one of kind motion; a stream has one")
        return self

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of all models, in order."""
        return tuple(category.name for model in self.models for category in model.categories)

    @property
    def motion(self) -> MotionSpec | None:
        return next((model for model in self.models if isinstance(model, MotionSpec)), None)

    @property
    def frames(self) -> tuple[FrameSpec, ...]:
        return tuple(model for model in self.models if isinstance(model, FrameSpec))

    @property
    def audio(self) -> tuple[AudioSpec, ...]:
        return tuple(model for model in self.models if isinstance(model, AudioSpec))


@dataclass(frozen=True, slots=True)
class PackFiles:
    """A pack as it was read, with every file checked against the manifest."""

    manifest: PackManifest
    digest: str
    """SHA-256 of the manifest's bytes. They hold the SHA-256 of every model file. So it identifies graphs,
    heads, calibrations and thresholds together."""
    content: bytes = field(repr=False)
    """The manifest's bytes."""
    models: Mapping[str, bytes] = field(repr=False)
    """Content by file name. Load these bytes, because a file may change after the check."""
    directory: Path

    @property
    def motion(self) -> MotionSpec:
        """Its motion model. Raises ModelError where it has none."""
        if self.manifest.motion is None:
            raise ModelError(f"{self.directory}: has no model of kind motion")
        return self.manifest.motion

    def path_of(self, model: ModelFile) -> Path:
        return self.directory / model.file


def model_directory(path: Path) -> Path:
    """Returns a pack's folder, given the folder itself, its manifest or an ONNX file in it."""
    return path.parent if path.name == MANIFEST_NAME or path.suffix == ".onnx" else path


def parse_manifest(content: bytes, path: Path) -> PackManifest:
    """Parses a manifest of schema 1 or 2. Raises ModelError with the path of the first wrong field."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: is no JSON object")
    version = values.get("schema_version")
    if version == 1 and not isinstance(version, bool):
        values = _upgraded(values)
    elif version != SCHEMA:
        raise ModelError(f"{path}: schema_version: is {version!r}; this gate reads 1 and {SCHEMA}")
    _refuse_unknown_kinds(values, path)
    try:
        return PackManifest.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = _place(first["loc"], was_first=version == 1) or "manifest"
        problem = first["msg"].removeprefix("Value error, ")
        raise ModelError(f"{path}: {where}: {problem}") from error


def read_pack(directory: Path) -> PackFiles:
    """Reads a pack and verifies size and SHA-256 of every file. Raises ModelError."""
    path = directory / MANIFEST_NAME
    if not path.is_file():
        raise ModelError(
            f"{directory}: a model pack is a folder with {MANIFEST_NAME} and the ONNX files it names"
        )
    try:
        content = read_settings_file(path, MAX_MANIFEST_BYTES)
        manifest = parse_manifest(content, path)
        models = {model.model.file: _read_model(directory, model.model) for model in manifest.models}
    except ConfigError as error:
        raise ModelError(str(error)) from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}: {error.filename or ''}") from error
    return PackFiles(manifest, hashlib.sha256(content).hexdigest(), content, models, directory)


def _read_model(directory: Path, file: ModelFile) -> bytes:
    path = directory / file.file
    actual_bytes = path.stat().st_size
    if actual_bytes != file.bytes:
        raise ModelError(f"{path}: {actual_bytes} bytes, manifest model.bytes says {file.bytes}")
    model = read_settings_file(path, MAX_MODEL_BYTES)
    actual = hashlib.sha256(model).hexdigest()
    if actual != file.sha256:
        raise ModelError(f"{path}: sha256 {actual} is not the manifest's {file.sha256}")
    return model


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 had the one motion model's fields at the top."""
    model = {name: value for name, value in values.items() if name != "schema_version"}
    pack: dict[str, Any] = {name: model[name] for name in ("name", "version") if name in model}
    return pack | {"schema_version": SCHEMA, "models": [model | {"kind": "motion"}]}


def _refuse_unknown_kinds(values: dict[str, Any], path: Path) -> None:
    models = values.get("models")
    for index, model in enumerate(models if isinstance(models, list) else []):
        kind = model.get("kind") if isinstance(model, dict) else None
        if kind not in KINDS:
            raise ModelError(
                f"{path}: models.{index}.kind: {kind!r} is none of {', '.join(KINDS)}; "
                "a newer version of the gate may know it"
            )


def _place(loc: tuple[int | str, ...], *, was_first: bool) -> str:
    """The field as the file has it: without the kind that pydantic puts in, and as schema 1 has it."""
    parts = list(loc)
    if parts[:1] == ["models"] and len(parts) > 2 and parts[2] in KINDS:
        del parts[2]
    if was_first and parts[:2] == ["models", 0]:
        parts = parts[2:]
    return ".".join(str(part) for part in parts)
