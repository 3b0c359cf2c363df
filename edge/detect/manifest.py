"""What a manifest says of a motion model, and the parts that every kind of model shares.

A motion model takes uint8 luma ``(1, 3, H, W)``: planes of the frames at t-δ, t and t+δ, or
their crop with the most motion. It returns a float32 embedding ``(1, D)`` and float32 logits ``(1, C)``,
one per category. Differencing and normalisation are part of the graph. The manifest also says, in plain
numbers, how a window's embeddings become one probability per category. So a model brings its own window
head without code.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.domain import Tier
from edge.policy import BeliefPolicy

MAX_MODEL_BYTES = 256 * 1024 * 1024
CATEGORY = r"^[a-z][a-z0-9_]{0,31}$"
"""Form of a category's name."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
DrawnSample = Literal["still", "pan", "walker", "brawl", "noise"]
"""Names of the samples that ``edge.detect.recorded`` draws."""
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class ManifestPart(BaseModel):
    """A part of a manifest. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(ManifestPart):
    """The ONNX file next to the manifest."""

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(gt=0, le=MAX_MODEL_BYTES)


class InputSpec(ManifestPart):
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


class OutputSpec(ManifestPart):
    """Names of the graph's outputs, and the size of the embedding."""

    embedding: str = Field(min_length=1, max_length=128)
    embedding_size: int = Field(ge=1, le=4096)
    logits: str = Field(min_length=1, max_length=128)


class Calibration(ManifestPart):
    """Platt scaling: probability = sigmoid(slope * logit + offset). It keeps the order of scores."""

    slope: float = Field(gt=0.0, le=1000.0, allow_inf_nan=False)
    offset: Finite

    def probability(self, logit: float) -> float:
        """Returns the calibrated probability of a raw logit, 0 to 1."""
        x = min(max(self.slope * logit + self.offset, -60.0), 60.0)
        return 1.0 / (1.0 + math.exp(-x))


class TierCalibration(ManifestPart):
    """The calibration of each tier. Sparse and dense windows hold different evidence.

    ``calm`` is for mean sample logits, ``alert`` for window logits.
    """

    calm: Calibration
    alert: Calibration

    def of(self, tier: Tier) -> Calibration:
        return self.calm if tier is Tier.CALM else self.alert


class WindowHead(ManifestPart):
    """Weights of the window logit in the alert tier.

    The logit is bias + mean · mean(e) + change · mean(|e[i+1] - e[i]|) + logit_mean · mean(z), over the
    embeddings e and logits z of the window's samples. A single sample has no change. In the calm tier the
    window logit is mean(z).
    """

    mean: tuple[Finite, ...] = ()
    change: tuple[Finite, ...] = ()
    logit_mean: Finite = 0.0
    bias: Finite = 0.0


class Thresholds(ManifestPart):
    """Default thresholds for policies.

    A window at or over ``raise_tier`` asks for the alert tier. A belief at or over ``flag`` asks for a
    review, one at or over ``cut`` is a violation.
    """

    raise_tier: Probability
    flag: Probability
    cut: Probability

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if not self.raise_tier <= self.flag <= self.cut:
            raise ValueError("raise_tier <= flag <= cut does not hold")
        return self


class Category(ManifestPart):
    """One category of the model. Its index in the list is its column in the logits."""

    name: str = Field(pattern=CATEGORY)
    sample: Calibration
    head: WindowHead
    window: TierCalibration
    thresholds: Thresholds
    belief: BeliefPolicy = BeliefPolicy()
    """How policies gather the windows, by default. ``flag`` and ``cut`` of the thresholds are held against
    that."""


class ModelSpec(ManifestPart):
    """What a manifest says of every kind of model."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(min_length=1, max_length=32)
    model: ModelFile
    licence: str = Field(default="", max_length=256)
    """SPDX expression of the file."""
    card: str = Field(default="", max_length=512)
    """Path or URL of the page that says what the model is for, what it saw and what it cannot do."""
    data_digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Digest of the training data."""
    measured: dict[str, float] = Field(default_factory=dict, max_length=64)
    """Measurements of the shipped file, for people."""


class MotionSpec(ModelSpec):
    """A motion model: three luma planes a sample, and a window over seconds."""

    kind: Literal["motion"] = "motion"
    input: InputSpec
    output: OutputSpec
    window_ms: int = Field(ge=100, le=60_000)
    categories: tuple[Category, ...] = Field(min_length=1, max_length=16)
    recorded: dict[DrawnSample, tuple[Finite, ...]] = Field(default_factory=dict)
    """Logits of drawn samples on the exporting machine, one per category. Other machines must give the
    same."""
    recorded_windows: dict[DrawnSample, tuple[Finite, ...]] = Field(default_factory=dict)
    """The same for window logits of the alert tier: of the window of all drawn samples up to this one."""

    @model_validator(mode="after")
    def _consistent(self) -> MotionSpec:
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
