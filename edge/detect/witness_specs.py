"""What a manifest says of a ``frame`` model and of an ``audio`` model.

Both give one row of outputs for one frame or one window of audio. A category takes the best of its outputs.
What persists counts: its score is the k-th best of its last n frames or windows.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge.detect.manifest import (
    CATEGORY,
    Calibration,
    DrawnSample,
    Finite,
    ManifestPart,
    ModelSpec,
    Probability,
)

MAX_OUTPUTS = 4096
DrawnSound = Literal["silence", "hum", "noise", "click", "shot", "volley", "cry"]
"""Names of the windows of audio that ``edge.detect.audio.recorded_audio`` draws."""


class AloneThresholds(ManifestPart):
    """Default thresholds of a category for policies.

    A score at or over ``raise_tier`` asks for the alert tier. One at or over ``flag`` asks for a person, one
    at or over ``cut`` is a violation. Without ``cut`` the category alone never cuts, without ``flag`` it
    never acts alone: it is a witness for rules.
    """

    raise_tier: Probability
    flag: Probability | None = None
    cut: Probability | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.cut is not None and self.flag is None:
            raise ValueError("cut needs flag: what cuts alone also flags alone")
        given = [value for value in (self.raise_tier, self.flag, self.cut) if value is not None]
        if given != sorted(given):
            raise ValueError("raise_tier <= flag <= cut does not hold")
        return self


class KOfN(ManifestPart):
    """``k`` of the last ``n`` frames or windows count."""

    k: int = Field(ge=1, le=32)
    n: int = Field(ge=1, le=32)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.k > self.n:
            raise ValueError(f"k {self.k} is over n {self.n}")
        return self


class WitnessCategory(ManifestPart):
    """One category of a frame or audio model."""

    name: str = Field(pattern=CATEGORY)
    outputs: tuple[Annotated[int, Field(ge=0, lt=MAX_OUTPUTS)], ...] = Field(min_length=1, max_length=64)
    """Columns of the model's output. The highest of them counts."""
    calibration: Calibration | None = None
    """From that output to a probability. Without it the output is a probability already."""
    persistence: KOfN = KOfN(k=1, n=1)
    go_on_at: Probability
    """From this score of one frame or window, more are judged at once: the next frame soon, the next
    window even without an onset."""
    thresholds: AloneThresholds

    def probability(self, output: float) -> float:
        """Returns the score of an output, 0 to 1. Not a number stays so."""
        return float(output) if self.calibration is None else self.calibration.probability(float(output))


class RowOutput(ManifestPart):
    """The graph's output: float32 ``(1, size)``."""

    name: str = Field(min_length=1, max_length=128)
    size: int = Field(ge=1, le=MAX_OUTPUTS)


class FrameInput(ManifestPart):
    """The graph's input: one RGB frame.

    The gate scales a decoded frame to ``width`` × ``height``. ``kept`` keeps its aspect: the frame lies in
    the top left corner as large as it fits, and the rest is black. ``stretched`` fills the input. With
    ``turns`` a frame that is higher than wide gets an input with width and height exchanged. uint8 goes
    into the graph as it is. float32 is ``(x - mean) / scale`` for each channel.
    """

    name: str = Field(min_length=1, max_length=128)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["uint8", "float32"] = "uint8"
    colour: Literal["rgb"] = "rgb"
    height: int = Field(ge=32, le=1024)
    width: int = Field(ge=32, le=1024)
    aspect: Literal["kept", "stretched"] = "kept"
    turns: bool = False
    mean: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    scale: tuple[Finite, Finite, Finite] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _normalised(self) -> Self:
        if self.dtype == "uint8" and (any(self.mean) or set(self.scale) != {1.0}):
            raise ValueError("mean and scale need dtype float32: a uint8 graph normalises by itself")
        if min(self.scale) <= 0.0:
            raise ValueError("scale must be over 0")
        return self


class FrameTimes(ManifestPart):
    """Least media time between two frames that are judged, milliseconds."""

    calm_ms: int = Field(default=2000, ge=200, le=60_000)
    alert_ms: int = Field(default=1000, ge=100, le=60_000)


class SpectrumInput(ManifestPart):
    """The graph's input: float32 ``(1, frames, bands)``, the log-mel of one window of mono audio.

    The gate has one way to hear, and these are its figures. Another figure is refused.
    """

    name: str = Field(min_length=1, max_length=128)
    rate: Literal[16_000] = 16_000
    window: Literal[400] = 400
    """Samples of one frame, under a periodic Hann window."""
    hop: Literal[160] = 160
    fft: Literal[512] = 512
    bands: Literal[64] = 64
    lowest_hz: Literal[125] = 125
    highest_hz: Literal[7500] = 7500
    log_offset: Annotated[float, Field(ge=0.001, le=0.001)] = 0.001
    """The input is ``log(magnitude + log_offset)``."""
    frames: Literal[96] = 96
    step_frames: Literal[48] = 48
    """Frames from window to window."""
    peak: float = Field(default=0.7, ge=0.0, le=1.0)
    """Each window is made so loud that its highest sample is this. 0 leaves it as it is."""
    most_gain_db: float = Field(default=20.0, ge=0.0, le=60.0)
    rise_db: float = Field(default=6.0, ge=0.0, le=60.0)
    """A window is judged when its audio rises so much over the background …"""
    floor_db: float = Field(default=-50.0, ge=-120.0, le=0.0)
    """… and is louder than this, decibels of full scale."""


class _RowSpec(ModelSpec):
    output: RowOutput
    categories: tuple[WitnessCategory, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _names_and_columns(self) -> Self:
        names = [category.name for category in self.categories]
        if len(set(names)) != len(names):
            raise ValueError("categories: names repeat")
        for category in self.categories:
            if max(category.outputs) >= self.output.size:
                raise ValueError(
                    f"categories.{category.name}.outputs: {max(category.outputs)} is no column, "
                    f"output.size is {self.output.size}"
                )
        recorded: dict[str, tuple[float, ...]] = getattr(self, "recorded", {})
        for drawn, scores in recorded.items():
            if len(scores) != len(names):
                raise ValueError(f"recorded.{drawn}: {len(scores)} scores, there are {len(names)} categories")
        return self


class FrameSpec(_RowSpec):
    """A model that judges single frames."""

    kind: Literal["frame"]
    input: FrameInput
    every: FrameTimes = FrameTimes()
    recorded: dict[DrawnSample, tuple[Probability, ...]] = Field(default_factory=dict)
    """Scores of drawn frames on the exporting machine, one per category."""


class AudioSpec(_RowSpec):
    """A model that judges windows of audio."""

    kind: Literal["audio"]
    input: SpectrumInput
    recorded: dict[DrawnSound, tuple[Probability, ...]] = Field(default_factory=dict)
    """Scores of drawn windows on the exporting machine, one per category."""


WitnessSpec = FrameSpec | AudioSpec
