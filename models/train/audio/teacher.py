"""The public network that teaches: its scores, its embedding, and what its first blocks make of a window.

YAMNet (Google, Apache-2.0; AudioSet classes) as ONNX, ``../shared/data/sounds/teacher``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from models.train.audio.patches import Patches
from models.train.index import DATA

TEACHER: Final = DATA / "sounds" / "teacher" / "yamnet_fp32.onnx"
LAYERS: Final = 27
"""Convolutions, each with its rectifier. Odd ones after the first mix channels, even ones do not."""
MIDDLE: Final = 12
"""The last layer that may stay as the teacher's: its output is ``(256, 6, 4)``."""
CLASSES: Final = 521
EMBEDDING: Final = 1024
CATEGORIES: Final = ("gunfire", "explosion", "scream")
COLUMNS: Final = ((421, 422, 423), (420, 424), (11,))
"""Classes of each category. The best one counts."""
BATCH: Final = 32

Floats = npt.NDArray[np.float32]


def weights(path: Path = TEACHER) -> dict[str, Floats]:
    """Every weight by name: ``w1`` … ``w27`` with ``b1`` … ``b27``, ``wf`` and ``bf``."""
    found = {one.name: numpy_helper.to_array(one) for one in onnx.load(str(path)).graph.initializer}
    return {name: np.array(value, np.float32) for name, value in found.items() if name[0] in "wb"}


def _session(model: onnx.ModelProto, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Teacher:
    """The teacher's graph, whole and cut off after its middle."""

    def __init__(self, path: Path = TEACHER, threads: int = 1) -> None:
        model = onnx.load(str(path))
        middle = onnx.helper.make_tensor_value_info(f"r{MIDDLE}", onnx.TensorProto.FLOAT, None)
        model.graph.output.append(middle)
        self._whole = _session(model, threads)
        last = [list(node.output) for node in model.graph.node].index([middle.name])
        del model.graph.node[last + 1 :]
        del model.graph.output[:]
        model.graph.output.append(middle)
        self._front = _session(model, threads)

    def judge(self, patches: Patches) -> tuple[Floats, Floats, Floats]:
        """Returns scores ``(N, 521)``, embedding ``(N, 1024)`` and middle ``(N, 256, 6, 4)``."""
        names = ["scores", "embedding", f"r{MIDDLE}"]
        parts = [self._whole.run(names, {"x": some}) for some in _batches(patches)]
        scores, embedding, middle = (np.concatenate(part) for part in zip(*parts, strict=True))
        return scores, embedding, middle

    def middle(self, patches: Patches) -> Floats:
        """Returns the output of the first ``MIDDLE`` layers."""
        return np.concatenate([self._front.run(None, {"x": some})[0] for some in _batches(patches)])


def _batches(patches: Patches) -> list[Patches]:
    return [patches[at : at + BATCH] for at in range(0, len(patches), BATCH)]


def by_category(scores: Floats) -> Floats:
    """Reduces ``(N, 521)`` to ``(N, 3)``, in the order of ``CATEGORIES``."""
    return np.stack([scores[:, list(columns)].max(1) for columns in COLUMNS], 1)


def targets(label: str, taught: Floats, lift: float) -> Floats:
    """What a student should answer to the windows of a recording, from the teacher's ``(N, 3)``.

    Where the label says that the event is there, the teacher's word is raised to the power ``lift`` (below 1
    strengthens it). Calm audio and fireworks are no gunfire, whatever the teacher says; calm audio is no
    explosion. Games and films keep the teacher's word: nobody can tell them from guns by audio.
    """
    wanted = taught.copy()
    if label in ("calm", "fireworks", "scream"):
        wanted[:, 0] = 0.0
    if label in ("calm", "scream"):
        wanted[:, 1] = 0.0
    raised = {"gunfire": 0, "scream": 2}.get(label)
    if raised is not None:
        wanted[:, raised] = taught[:, raised] ** lift
    return wanted
