"""ONNX sessions, with the kernels that a processor needs for exact products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort

PRECISE = "session.x64quantprecision"


def open_session(model: bytes, path: Path, *, precise: bool) -> ort.InferenceSession:
    """Opens a graph on one thread without spinning: a worker is one core, and an idle one must cost nothing.

    On x86 processors with AVX2 and no VNNI the usual kernels add two products of 8 bits in 16 bits, which
    overflows. Precise kernels do not. With VNNI both give the same numbers, but onnxruntime does not look for
    it, and precise kernels then cost twice as much. On other processors ``precise`` changes nothing.
    ``path`` is where ``model`` was read: the error names it. Raises ModelError.
    """
    import onnxruntime as ort  # the supervisor reads manifests and opens no session

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(PRECISE, "1" if precise else "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own C++ module
        raise ModelError(f"{path}: not a usable ONNX model: {error}") from error
