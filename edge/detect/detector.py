"""The detector: runs one ONNX session on one thread and feeds it with luma planes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from edge.detect.focus import focus
from edge.detect.manifest import MotionSpec
from edge.detect.pack_files import PackFiles, read_pack
from edge.detect.plane import PlaneScaler, frame_size
from edge.detect.recorded import drawn_samples, missed_by, refuse_missed, scores_alike, within_tolerance
from edge.detect.session import PRECISE, open_session, usual_kernels_are_exact
from edge.detect.steady import steady
from edge.detect.window import DetectWindow, SampleScore
from edge.errors import InvalidInput, ModelError

if TYPE_CHECKING:
    import onnxruntime as ort


class Detector:
    """A loaded model that keeps its manifest's contract. Each worker thread has its own instance."""

    def __init__(self, manifest: MotionSpec, digest: str, session: ort.InferenceSession) -> None:
        self.manifest = manifest
        self.digest: str = digest
        self.categories: tuple[str, ...] = tuple(category.name for category in manifest.categories)
        self.input_size: tuple[int, int] = (manifest.input.height, manifest.input.width)
        self.delta_ms: int = manifest.input.delta_ms
        self._session = session
        self._outputs = [manifest.output.embedding, manifest.output.logits]
        self._scaler = PlaneScaler(*self.input_size, manifest.input.short_side)

    @classmethod
    def load(cls, directory: Path) -> Detector:
        """Reads a pack and loads its motion model. Raises as ``of``."""
        return cls.of(read_pack(directory))

    @classmethod
    def of(cls, pack: PackFiles) -> Detector:
        """Loads the motion model of a pack, and runs it on drawn samples.

        The usual kernels are faster. They are used where they are exact, or give the same numbers as the
        precise ones. Raises ModelError where digest, names, shapes or dtypes differ from the manifest,
        outputs are not finite, or a score of a sample or of a window is more than 0.01 away from the
        recorded one.
        """
        manifest, digest = pack.motion, pack.digest
        path, model = pack.path_of(manifest.model), pack.models[manifest.model.file]
        session = open_session(model, path, precise=False)
        _verify_graph(manifest, session, path)
        detector = cls(manifest, digest, session)
        detector._verify_run(path)
        # Both kernels get the same inputs, which are made once. One run of each serves both checks.
        inputs = {name: detector.look(planes) for name, planes in drawn_samples(*detector.input_size).items()}
        scores = {name: detector._score(seen) for name, seen in inputs.items()}
        if not usual_kernels_are_exact() or not within_tolerance(missed_by(manifest, scores)):
            precise = cls(manifest, digest, open_session(model, path, precise=True))
            precise_scores = {name: precise._score(seen) for name, seen in inputs.items()}
            if not scores_alike(scores, precise_scores):
                detector, scores = precise, precise_scores
        refuse_missed(path, missed_by(manifest, scores))
        return detector

    @property
    def precise(self) -> bool:
        """Whether it uses precise kernels, because the usual ones score differently on this processor."""
        return bool(self._session.get_session_options().get_session_config_entry(PRECISE) == "1")

    def plane(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Returns a decoded frame's luma, scaled to the input size, uint8 ``(H, W)``."""
        return self._scaler.plane(frame)

    def infer(self, planes: NDArray[np.uint8]) -> SampleScore:
        """Scores one sample: uint8 ``(3, H, W)``, the planes at t-δ, t and t+δ. Raises InvalidInput for
        others."""
        if planes.shape != (3, *self.input_size) or planes.dtype != np.uint8:
            raise InvalidInput(
                "planes", f"{planes.dtype} {planes.shape} given, uint8 {(3, *self.input_size)} wanted"
            )
        return self._score(self.look(planes))

    def _score(self, seen: NDArray[np.uint8]) -> SampleScore:
        embedding, logits = self._run(seen)
        scores = [
            category.sample.probability(float(logit))
            for category, logit in zip(self.manifest.categories, logits[0], strict=True)
        ]
        return SampleScore(embedding[0], logits[0], np.array(scores, dtype=np.float32))

    def look(self, planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the graph's input for a sample: the planes, or the crop that ``focus`` in the manifest
        asks for."""
        side = self.manifest.input.focus
        if side is None:
            return planes
        height, width = (
            frame_size(planes[1]) if self.manifest.input.short_side is not None else self.input_size
        )
        pictures = planes[:, : max(height, 1), : max(width, 1)]
        return focus(steady(pictures) if self.manifest.input.steady else pictures, side)

    def shares_planes(self, other: object) -> bool:
        """Whether this detector can use the planes of the other one."""
        if not isinstance(other, Detector):
            return False
        mine, its = self.manifest.input, other.manifest.input
        return (mine.height, mine.width, mine.short_side, mine.delta_ms) == (
            its.height,
            its.width,
            its.short_side,
            its.delta_ms,
        )

    def new_window(self) -> DetectWindow:
        """Returns a new window for one stream."""
        return DetectWindow(self.manifest)

    def _run(self, seen: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        feed = {self.manifest.input.name: seen[np.newaxis]}
        embedding, logits = self._session.run(self._outputs, feed)
        return embedding, logits

    def _verify_run(self, path: Path) -> None:
        seen = np.zeros(self.manifest.input.graph_shape[1:], dtype=np.uint8)
        seen[1, ::2] = 128
        try:
            embedding, logits = self._run(seen)
        except Exception as error:  # onnxruntime raises types of its own C++ module
            raise ModelError(f"{path}: does not run: {error}") from error
        wanted = ((1, self.manifest.output.embedding_size), (1, len(self.categories)))
        for name, got, shape in zip(self._outputs, (embedding, logits), wanted, strict=True):
            if got.shape != shape or got.dtype != np.float32:
                raise ModelError(f"{path}: output {name!r}: {got.dtype} {got.shape}, manifest wants {shape}")
            if not np.isfinite(got).all():
                raise ModelError(f"{path}: output {name!r} is not finite")


def default_model_directory() -> Path:
    """Returns the folder of the shipped model: package data in a wheel, ``models/`` in a source tree."""
    packaged = Path(__file__).with_name("_models")
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "models"


def _verify_graph(manifest: MotionSpec, session: ort.InferenceSession, path: Path) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].name != manifest.input.name:
        names = [entry.name for entry in inputs]
        raise ModelError(f"{path}: inputs {names}, manifest says {[manifest.input.name]}")
    if inputs[0].type != "tensor(uint8)":
        raise ModelError(f"{path}: input {inputs[0].name!r} is {inputs[0].type}, not tensor(uint8)")
    wanted = manifest.input.graph_shape
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or any(
        isinstance(got, int) and got != want for got, want in zip(shape, wanted, strict=True)
    ):
        raise ModelError(f"{path}: input shape {shape}, manifest says {wanted}")
    outputs = {entry.name: entry.type for entry in session.get_outputs()}
    for name in (manifest.output.embedding, manifest.output.logits):
        if outputs.get(name) != "tensor(float)":
            raise ModelError(f"{path}: output {name!r} is {outputs.get(name, 'missing')}, not tensor(float)")
