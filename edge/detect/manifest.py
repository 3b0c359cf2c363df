"""``manifest.json``: the contract between the gate and any model that it loads.

A model is one ONNX file. It takes uint8 luma ``(1, 3, H, W)``: planes of the frames at t-δ, t and t+δ, or
their crop with the most motion. It returns a float32 embedding ``(1, D)`` and float32 logits ``(1, C)``,
one per category. Differencing and normalisation are part of the graph. The manifest also says, in plain
numbers, how a window's embeddings become one probability per category. So a model brings its own window
head without code.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.domain import Tier
from edge.errors import ConfigError, ModelError
from edge.settings_file import read_settings_file

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_MODEL_BYTES = 256 * 1024 * 1024

Finite = Annotated[float, Field(allow_inf_nan=False)]
DrawnSample = Literal["still", "pan", "walker", "brawl", "noise"]
"""Names of the samples that ``edge.detect.recorded`` draws."""
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class _ManifestPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(_ManifestPart):
    """The ONNX file next to the manifest."""

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(gt=0, le=MAX_MODEL_BYTES)


class InputSpec(_ManifestPart):
    """The graph's input: uint8 luma, full range.

    A frame is scaled to a plane of ``height`` × ``width``. It fills the plane, or keeps its aspect with
    ``short_side``. ``steady`` removes the camera's motion from the three planes. ``focus`` crops them to
    the ``focus`` × ``focus`` part with the most motion. Otherwise the graph gets the planes unchanged.
    """

    name: str = Field(min_length=1, max_length=128)
    layout: Literal["N3HW"] = "N3HW"
    dtype: Literal["uint8"] = "uint8"
    colour: Literal["luma"] = "luma"
    scaling: Literal["area"] = "area"
    height: int = Field(ge=32, le=1024)
    width: int = Field(ge=32, le=1024)
    short_side: int | None = Field(default=None, ge=32, le=1024)
    steady: bool = False
    focus: int | None = Field(default=None, ge=32, le=1024, multiple_of=8)
    delta_ms: int = Field(ge=10, le=1000)

    @property
    def graph_shape(self) -> tuple[int, int, int, int]:
        """Shape of the graph's input."""
        side = self.focus
        return (1, 3, self.height, self.width) if side is None else (1, 3, side, side)

    @model_validator(mode="after")
    def _fits(self) -> InputSpec:
        smallest = min(self.height, self.width)
        for name in ("short_side", "focus"):
            value = getattr(self, name)
            if value is not None and value > smallest:
                raise ValueError(f"{name} {value} is over the plane's {smallest}")
        if self.steady and self.focus is None:
            raise ValueError("steady cuts the planes to what they share, so it needs focus")
        return self


class OutputSpec(_ManifestPart):
    """Names of the graph's outputs, and the size of the embedding."""

    embedding: str = Field(min_length=1, max_length=128)
    embedding_size: int = Field(ge=1, le=4096)
    logits: str = Field(min_length=1, max_length=128)


class Calibration(_ManifestPart):
    """Platt scaling: probability = sigmoid(slope * logit + offset). It keeps the order of scores."""

    slope: float = Field(gt=0.0, le=1000.0, allow_inf_nan=False)
    offset: Finite

    def probability(self, logit: float) -> float:
        """Returns the calibrated probability of a raw logit, 0 to 1."""
        x = min(max(self.slope * logit + self.offset, -60.0), 60.0)
        return 1.0 / (1.0 + math.exp(-x))


class TierCalibration(_ManifestPart):
    """The calibration of each tier. Sparse and dense windows hold different evidence.

    ``calm`` is for mean sample logits, ``alert`` for window logits.
    """

    calm: Calibration
    alert: Calibration

    def of(self, tier: Tier) -> Calibration:
        return self.calm if tier is Tier.CALM else self.alert


class WindowHead(_ManifestPart):
    """Weights of the window logit in the alert tier.

    The logit is bias + mean · mean(e) + change · mean(|e[i+1] - e[i]|) + logit_mean · mean(z), over the
    embeddings e and logits z of the window's samples. A single sample has no change. In the calm tier the
    window logit is mean(z).
    """

    mean: tuple[Finite, ...] = ()
    change: tuple[Finite, ...] = ()
    logit_mean: Finite = 0.0
    bias: Finite = 0.0


class Thresholds(_ManifestPart):
    """Default thresholds for policies.

    A window at or over ``raise_tier`` asks for the alert tier. ``flag`` asks for a review. ``cut`` means a
    violation, if it persists.
    """

    raise_tier: Probability
    flag: Probability
    cut: Probability

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if not self.raise_tier <= self.flag <= self.cut:
            raise ValueError("raise_tier <= flag <= cut does not hold")
        return self


class Category(_ManifestPart):
    """One category of the model. Its index in the list is its column in the logits."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    sample: Calibration
    head: WindowHead
    window: TierCalibration
    thresholds: Thresholds


class ModelManifest(_ManifestPart):
    """The whole content of ``manifest.json``."""

    schema_version: Literal[1]
    name: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=32)
    model: ModelFile
    input: InputSpec
    output: OutputSpec
    window_ms: int = Field(ge=100, le=60_000)
    categories: tuple[Category, ...] = Field(min_length=1, max_length=16)
    data_digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Digest of the training data."""
    measured: dict[str, float] = Field(default_factory=dict, max_length=64)
    """Measurements of the shipped file, for people."""
    recorded: dict[DrawnSample, tuple[Finite, ...]] = Field(default_factory=dict)
    """Logits of drawn samples on the exporting machine, one per category. Other machines must give the
    same."""
    recorded_windows: dict[DrawnSample, tuple[Finite, ...]] = Field(default_factory=dict)
    """The same for window logits of the alert tier: of the window of all drawn samples up to this one."""

    @model_validator(mode="after")
    def _consistent(self) -> ModelManifest:
        names = [category.name for category in self.categories]
        if len(set(names)) != len(names):
            raise ValueError("categories: names repeat")
        for part in ("recorded", "recorded_windows"):
            for sample, logits in getattr(self, part).items():
                if len(logits) != len(self.categories):
                    raise ValueError(
                        f"{part}.{sample}: {len(logits)} logits, there are {len(self.categories)} categories"
                    )
        for category in self.categories:
            for part in ("mean", "change"):
                length = len(getattr(category.head, part))
                if length not in (0, self.output.embedding_size):
                    raise ValueError(
                        f"categories.{category.name}.head.{part}: {length} numbers, "
                        f"embedding_size is {self.output.embedding_size}"
                    )
        return self


def model_directory(path: Path) -> Path:
    """Returns a model's folder, given the folder itself, its manifest or its ONNX file."""
    return path.parent if path.name == MANIFEST_NAME or path.suffix == ".onnx" else path


def read_manifest(directory: Path) -> tuple[ModelManifest, str, bytes]:
    """Returns manifest, digest and model bytes of a model directory. Verifies the model's size and SHA-256.

    Load the returned bytes, because the file may change after the check.

    The digest is the SHA-256 of the manifest's bytes. They hold the model file's SHA-256. So the digest
    identifies graph, window head, calibration and thresholds together. Raises ModelError.
    """
    path = directory / MANIFEST_NAME
    if not path.is_file():
        raise ModelError(f"{directory}: a model is a folder with {MANIFEST_NAME} and the ONNX file it names")
    try:
        content = read_settings_file(path, MAX_MANIFEST_BYTES)
        manifest = ModelManifest.model_validate_json(content)
        model_path = directory / manifest.model.file
        actual_bytes = model_path.stat().st_size
        if actual_bytes != manifest.model.bytes:
            raise ModelError(
                f"{model_path}: {actual_bytes} bytes, manifest model.bytes says {manifest.model.bytes}"
            )
        model = read_settings_file(model_path, MAX_MODEL_BYTES)
    except ConfigError as error:
        raise ModelError(str(error)) from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}: {error.filename or ''}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ModelError(f"{path}: {where}: {first['msg']}") from error
    actual = hashlib.sha256(model).hexdigest()
    if actual != manifest.model.sha256:
        raise ModelError(f"{model_path}: sha256 {actual} is not the manifest's {manifest.model.sha256}")
    return manifest, hashlib.sha256(content).hexdigest(), model
