"""The audio model of a worker: one ONNX session on one thread, from log-mel patches to scores by category."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edge.detect.manifest import Calibration
from edge.detect.session import open_session
from edge.detect.sound.log_mel import BANDS, Mel
from edge.detect.sound.persistence import PersistenceRule
from edge.detect.sound.sound_windows import FRAMES, ListeningRules
from edge.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort

MAX_OUTPUTS: Final = 4096


@dataclass(frozen=True, slots=True)
class SoundCategory:
    """How a category comes out of the model."""

    name: str
    columns: tuple[int, ...]
    """Outputs of the model. The best one counts."""
    persistence: PersistenceRule
    go_on_at: float
    """While a window scores as much, the next is judged even without an onset."""
    calibration: Calibration | None = None
    """From the model's logit to a probability. None: the model's output is one already."""

    def probability(self, output: float) -> float:
        """Returns the score of an output, 0 to 1. Not a number stays so."""
        return float(output) if self.calibration is None else self.calibration.probability(float(output))


@dataclass(frozen=True, slots=True)
class SoundModelSpec:
    """What a manifest says of an audio model."""

    input: str
    output: str
    outputs: int
    """Columns of ``output``."""
    categories: tuple[SoundCategory, ...]
    rules: ListeningRules = field(default_factory=ListeningRules)


class SoundModel:
    """A loaded audio model. Each worker thread has its own instance."""

    def __init__(self, spec: SoundModelSpec, session: ort.InferenceSession) -> None:
        self.spec = spec
        self.categories: tuple[str, ...] = tuple(one.name for one in spec.categories)
        self._session = session

    @classmethod
    def load(cls, spec: SoundModelSpec, model: bytes, path: Path) -> SoundModel:
        """Opens an ONNX file and runs it once. Raises ModelError where it does not keep its manifest's
        word."""
        session = open_session(model, path, precise=True)
        loaded = cls(spec, session)
        loaded._verify_graph(path)
        loaded._verify_run(path)
        return loaded

    @property
    def rules(self) -> ListeningRules:
        return self.spec.rules

    def infer(self, patch: Mel) -> Mapping[str, float]:
        """Scores one window, float32 ``(FRAMES, BANDS)``. Returns the scores of all categories, 0 to 1."""
        outputs = self._run(patch)
        return {
            one.name: one.probability(float(outputs[list(one.columns)].max())) for one in self.spec.categories
        }

    def persistence(self, on: Collection[str]) -> dict[str, PersistenceRule]:
        """Returns the rules of those of its categories that are on."""
        return {one.name: one.persistence for one in self.spec.categories if one.name in on}

    def goes_on(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores ask for the next window."""
        return any(scores.get(one.name, 0.0) >= one.go_on_at for one in self.spec.categories)

    def _run(self, patch: Mel) -> Mel:
        (outputs,) = self._session.run([self.spec.output], {self.spec.input: patch[np.newaxis]})
        return np.asarray(outputs[0], np.float32)

    def _verify_graph(self, path: Path) -> None:
        wants = f"manifest says {self.spec.input!r}"
        inputs = self._session.get_inputs()
        if [one.name for one in inputs] != [self.spec.input]:
            raise ModelError(f"{path}: inputs {[one.name for one in inputs]}, {wants}")
        if inputs[0].type != "tensor(float)" or list(inputs[0].shape[1:]) != [FRAMES, BANDS]:
            raise ModelError(
                f"{path}: input {inputs[0].name!r} is {inputs[0].type} {inputs[0].shape}, "
                f"not tensor(float) (N, {FRAMES}, {BANDS})"
            )
        outputs = {one.name: one.type for one in self._session.get_outputs()}
        if outputs.get(self.spec.output) != "tensor(float)":
            found = outputs.get(self.spec.output, "missing")
            raise ModelError(f"{path}: output {self.spec.output!r} is {found}, not tensor(float)")

    def _verify_run(self, path: Path) -> None:
        try:
            outputs = self._run(np.full((FRAMES, BANDS), -3.0, np.float32))
        except Exception as error:  # onnxruntime raises types of its own C++ module
            raise ModelError(f"{path}: does not run: {error}") from error
        wanted = (self.spec.outputs,)
        if outputs.shape != wanted:
            raise ModelError(
                f"{path}: output {self.spec.output!r} is {outputs.shape}, manifest wants {wanted}"
            )
        if not np.isfinite(outputs).all():
            raise ModelError(f"{path}: output {self.spec.output!r} is not finite")
