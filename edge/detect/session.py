"""Opens ONNX sessions with the kernels that the processor needs for exact products."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort

# From 1.2x on the library reports its use to its maker, from a thread of its own, unless this is set before
# it is imported. No process of the gate talks to strangers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

PRECISE = "session.x64quantprecision"


_EXACT: Final = frozenset({"avx512_vnni", "avx_vnni"})
_PROCESSORS: Final = Path("/proc/cpuinfo")


@cache
def usual_kernels_are_exact(processors: Path = _PROCESSORS) -> bool:
    """Whether the processor adds 8-bit products in 32 bits, by its flags: then no kernel overflows.

    False where nobody knows. Its first call comes before the process is contained, and may read the file.
    """
    with suppress(OSError):
        lines = processors.read_text(encoding="ascii", errors="replace").splitlines()
        return any(line.startswith("flags") and not _EXACT.isdisjoint(line.split()) for line in lines)
    return False


def open_session(model: bytes, path: Path, *, precise: bool) -> ort.InferenceSession:
    """Opens a graph on one thread without spinning. A worker has one core, and an idle one must use no CPU.

    On x86 processors with AVX2 but no VNNI the usual kernels overflow: they add two 8-bit products in 16
    bits. The precise kernels do not overflow. With VNNI both give the same numbers. But onnxruntime does
    not check for VNNI, and precise kernels then cost twice as much. On other processors ``precise`` changes
    nothing. ``path`` is the file of ``model`` and appears in the error. Raises ModelError.
    """
    import onnxruntime as ort  # imported here because the supervisor reads manifests and opens no session

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
