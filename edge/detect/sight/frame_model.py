"""The frame model of a worker: one ONNX session on one thread, from RGB frames to scores by category."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from edge.detect.pack_files import PackFiles
from edge.detect.recorded import refuse_missed, within_tolerance
from edge.detect.session import open_session, usual_kernels_are_exact
from edge.detect.sight.frame_scaler import FrameScaler, Rgb
from edge.detect.sight.recorded_frames import drawn_frames, frame_missed_by, frame_scores
from edge.detect.witness_specs import FrameSpec, FrameTimes, KOfN
from edge.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort

_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}


class FrameModel:
    """A loaded frame model. Each worker thread has its own instance."""

    def __init__(self, spec: FrameSpec, session: ort.InferenceSession) -> None:
        self.spec = spec
        self.categories: tuple[str, ...] = tuple(one.name for one in spec.categories)
        self._session = session
        self._scaler = FrameScaler(spec.input)
        self._mean = np.array(spec.input.mean, np.float32)
        self._scale = np.array(spec.input.scale, np.float32)

    @classmethod
    def of(cls, pack: PackFiles) -> FrameModel | None:
        """Loads the frame model of a pack. None: it has none. Raises as ``load``, and ModelError for two."""
        frames = pack.manifest.frames
        if len(frames) > 1:
            names = ", ".join(one.name for one in frames)
            raise ModelError(f"{pack.directory}: more than one model of kind frame: {names}")
        if not frames:
            return None
        (spec,) = frames
        return cls.load(spec, pack.models[spec.model.file], pack.path_of(spec.model))

    @classmethod
    def load(cls, spec: FrameSpec, model: bytes, path: Path) -> FrameModel:
        """Opens an ONNX file, and runs it on drawn frames and on frames of each shape that it may get.

        The usual kernels are faster. They are used where they are exact, or give the same numbers as the
        precise ones. Raises ModelError where it does not keep its manifest's word, also where a score is more
        than 0.01 away from the recorded one.
        """
        loaded = cls(spec, open_session(model, path, precise=False))
        loaded._verify_graph(path)
        for shape in loaded.shapes:
            loaded._verify_run(shape, path)
        missed = loaded.missed_by()
        if not usual_kernels_are_exact() or not within_tolerance(missed):
            precise = cls(spec, open_session(model, path, precise=True))
            drawn = drawn_frames(spec).values()
            if not all(np.array_equal(loaded._run(one), precise._run(one)) for one in drawn):
                loaded, missed = precise, precise.missed_by()
        refuse_missed(path, missed)
        return loaded

    @property
    def every(self) -> FrameTimes:
        """How often a stream is looked at."""
        return self.spec.every

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of the frames that it judges: one shape, or two where the input turns."""
        lying = (self.spec.input.height, self.spec.input.width)
        return (lying, lying[::-1]) if self.spec.input.turns and lying[0] != lying[1] else (lying,)

    def picture(self, frame: av.VideoFrame) -> Rgb:
        """Returns a decoded frame, scaled for ``infer``."""
        return self._scaler.picture(frame)

    def infer(self, picture: Rgb) -> Mapping[str, float]:
        """Scores one frame of one of the ``shapes``, uint8 ``(height, width, 3)``. Returns the scores of
        all categories, 0 to 1."""
        outputs = self._run(picture)
        return {
            one.name: one.probability(float(outputs[list(one.outputs)].max())) for one in self.spec.categories
        }

    def missed_by(self) -> dict[str, float]:
        """Returns how far its scores of drawn frames are from the recorded ones. Empty: none are
        recorded."""
        if not self.spec.recorded:
            return {}
        return frame_missed_by(self.spec, frame_scores(self.spec, self.infer))

    def persistence(self, on: Collection[str]) -> dict[str, KOfN]:
        """Returns the rules of those of its categories that are on."""
        return {one.name: one.persistence for one in self.spec.categories if one.name in on}

    def goes_on(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores ask for the next frame soon."""
        return any(scores.get(one.name, 0.0) >= one.go_on_at for one in self.spec.categories)

    def _run(self, picture: Rgb) -> NDArray[np.float32]:
        wanted = self.spec.input
        pixels: NDArray[Any] = picture
        if wanted.dtype == "float32":
            pixels = (pixels - self._mean) / self._scale
        if wanted.layout == "NCHW":
            pixels = pixels.transpose(2, 0, 1)
        feed = {wanted.name: np.ascontiguousarray(pixels)[np.newaxis]}
        (outputs,) = self._session.run([self.spec.output.name], feed)
        return np.asarray(outputs[0], np.float32)

    def _verify_graph(self, path: Path) -> None:
        wanted = self.spec.input
        inputs = self._session.get_inputs()
        if [one.name for one in inputs] != [wanted.name]:
            raise ModelError(f"{path}: inputs {[one.name for one in inputs]}, manifest says {wanted.name!r}")
        if inputs[0].type != _TYPES[wanted.dtype]:
            raise ModelError(
                f"{path}: input {wanted.name!r} is {inputs[0].type}, manifest says {wanted.dtype}"
            )
        output = self.spec.output.name
        found = {one.name: one.type for one in self._session.get_outputs()}.get(output, "missing")
        if found != "tensor(float)":
            raise ModelError(f"{path}: output {output!r} is {found}, not tensor(float)")

    def _verify_run(self, shape: tuple[int, int], path: Path) -> None:
        try:
            outputs = self._run(np.full((*shape, 3), 96, np.uint8))
        except Exception as error:  # onnxruntime raises types of its own C++ module
            raise ModelError(f"{path}: does not run on {shape[0]}x{shape[1]} pixels: {error}") from error
        output, wanted = self.spec.output.name, (self.spec.output.size,)
        if outputs.shape != wanted:
            raise ModelError(f"{path}: output {output!r} is {outputs.shape}, manifest wants {wanted}")
        if not np.isfinite(outputs).all():
            raise ModelError(f"{path}: output {output!r} is not finite")
