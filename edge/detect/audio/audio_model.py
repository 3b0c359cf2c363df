"""The audio model of a worker: one ONNX session on one thread, from log-mel patches to scores by category."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.detect.audio.audio_windows import FRAMES, ListeningRules
from edge.detect.audio.log_mel import BANDS, Mel
from edge.detect.audio.recorded_audio import audio_missed_by, audio_scores
from edge.detect.pack_files import PackFiles
from edge.detect.recorded import refuse_missed
from edge.detect.session import open_session
from edge.detect.witness_specs import AudioSpec, KOfN
from edge.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort


class AudioModel:
    """A loaded audio model. Each worker thread has its own instance."""

    def __init__(self, spec: AudioSpec, session: ort.InferenceSession) -> None:
        self.spec = spec
        self.categories: tuple[str, ...] = tuple(one.name for one in spec.categories)
        self.rules = ListeningRules.of(spec.input)
        self._session = session

    @classmethod
    def of(cls, pack: PackFiles) -> AudioModel | None:
        """Loads the audio model of a pack. None: it has none. Raises as ``load``, and ModelError for two."""
        sounds = pack.manifest.audio
        if len(sounds) > 1:
            names = ", ".join(one.name for one in sounds)
            raise ModelError(f"{pack.directory}: more than one model of kind audio: {names}")
        if not sounds:
            return None
        (spec,) = sounds
        return cls.load(spec, pack.models[spec.model.file], pack.path_of(spec.model))

    @classmethod
    def load(cls, spec: AudioSpec, model: bytes, path: Path) -> AudioModel:
        """Opens an ONNX file and runs it on drawn sounds.

        Raises ModelError where it does not keep its manifest's word, also where a score is more than 0.01
        away from the recorded one.
        """
        session = open_session(model, path, precise=True)
        loaded = cls(spec, session)
        loaded._verify_graph(path)
        loaded._verify_run(path)
        refuse_missed(path, loaded.missed_by())
        return loaded

    def infer(self, patch: Mel) -> Mapping[str, float]:
        """Scores one window, float32 ``(FRAMES, BANDS)``. Returns the scores of all categories, 0 to 1."""
        outputs = self._run(patch)
        return {
            one.name: one.probability(float(outputs[list(one.outputs)].max())) for one in self.spec.categories
        }

    def missed_by(self) -> dict[str, float]:
        """Returns how far its scores of drawn sounds are from the recorded ones. Empty: none are recorded."""
        return audio_missed_by(self.spec, audio_scores(self.spec, self.infer)) if self.spec.recorded else {}

    def persistence(self, on: Collection[str]) -> dict[str, KOfN]:
        """Returns the rules of those of its categories that are on."""
        return {one.name: one.persistence for one in self.spec.categories if one.name in on}

    def goes_on(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores ask for the next window."""
        return any(scores.get(one.name, 0.0) >= one.go_on_at for one in self.spec.categories)

    def _run(self, patch: Mel) -> Mel:
        (outputs,) = self._session.run([self.spec.output.name], {self.spec.input.name: patch[np.newaxis]})
        return np.asarray(outputs[0], np.float32)

    def _verify_graph(self, path: Path) -> None:
        wanted = self.spec.input.name
        inputs = self._session.get_inputs()
        if [one.name for one in inputs] != [wanted]:
            raise ModelError(f"{path}: inputs {[one.name for one in inputs]}, manifest says {wanted!r}")
        if inputs[0].type != "tensor(float)" or list(inputs[0].shape[1:]) != [FRAMES, BANDS]:
            raise ModelError(
                f"{path}: input {wanted!r} is {inputs[0].type} {inputs[0].shape}, "
                f"not tensor(float) (N, {FRAMES}, {BANDS})"
            )
        output = self.spec.output.name
        found = {one.name: one.type for one in self._session.get_outputs()}.get(output, "missing")
        if found != "tensor(float)":
            raise ModelError(f"{path}: output {output!r} is {found}, not tensor(float)")

    def _verify_run(self, path: Path) -> None:
        try:
            outputs = self._run(np.full((FRAMES, BANDS), -3.0, np.float32))
        except Exception as error:  # onnxruntime raises types of its own C++ module
            raise ModelError(f"{path}: does not run: {error}") from error
        output, wanted = self.spec.output.name, (self.spec.output.size,)
        if outputs.shape != wanted:
            raise ModelError(f"{path}: output {output!r} is {outputs.shape}, manifest wants {wanted}")
        if not np.isfinite(outputs).all():
            raise ModelError(f"{path}: output {output!r} is not finite")
