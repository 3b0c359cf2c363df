"""Writes a student as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from edge.detect.audio.audio_windows import FRAMES
from edge.detect.audio.log_mel import BANDS
from models.train.audio.network import Student

INPUT: Final = "patches"
OUTPUT: Final = "logits"
OPSET: Final = 17


def write_fp32(net: Student, path: Path) -> None:
    """Writes the graph: ``patches`` float32 ``(N, 96, 64)`` to ``logits`` ``(N, 3)`` and ``embedding``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, FRAMES, BANDS),),
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT, "embedding"],
        dynamic_axes={INPUT: {0: "N"}, OUTPUT: {0: "N"}, "embedding": {0: "N"}},
        opset_version=OPSET,
        dynamo=False,
    )


def write_half(fp32: Path, path: Path) -> None:
    """Stores the weights as float16 and computes in float32: half the file, the same kernels everywhere.

    Integer kernels differ between processors. At this size they save a third of a millisecond a window, and
    quantising the teacher's first layers costs recall.
    """
    model = onnx.load(str(fp32))
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 256:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
