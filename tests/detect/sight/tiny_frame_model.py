"""A small frame model for tests: a bright frame shows a firearm to it, and a red one blood."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import pytest

from edge.detect.manifest import Calibration, ModelFile
from edge.detect.witness_specs import (
    AloneThresholds,
    FrameInput,
    FrameSpec,
    KOfN,
    RowOutput,
    WitnessCategory,
)

INPUT, OUTPUT = "pixels", "logits"
HEIGHT, WIDTH = 32, 64


def tiny_frame_onnx(height: int | str = "height", layout: str = "NCHW") -> bytes:
    """Takes uint8 frames and gives float32 ``(1, 2)``: how far the mean of all channels is over 128, and
    how far red is over the mean of the others, both divided by 8.

    A number as ``height`` is a graph of lying frames alone.
    """
    if not os.environ.get("CI"):  # there nothing may be missing
        pytest.importorskip("onnx")
    from onnx import TensorProto, checker, helper, numpy_helper

    def constant(name: str, values: Any) -> Any:
        return numpy_helper.from_array(np.array(values, np.float32), name)

    axes = [2, 3] if layout == "NCHW" else [1, 2]
    nodes = [
        helper.make_node("Cast", [INPUT], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Gemm", ["means", "weights", "offsets"], [OUTPUT]),
    ]
    constants = [
        constant("weights", np.array([[1 / 3, 1], [1 / 3, -0.5], [1 / 3, -0.5]]) / 8),
        constant("offsets", [-128 / 8, 0]),
    ]
    sides = [height, "width" if isinstance(height, str) else WIDTH]
    shape = [1, 3, *sides] if layout == "NCHW" else [1, *sides, 3]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, 2])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_frame_spec(k: int = 2, n: int = 3, content: bytes | None = None, **values: Any) -> FrameSpec:
    """``values`` replace parts of the input."""
    content = tiny_frame_onnx() if content is None else content
    wanted = {"name": INPUT, "height": HEIGHT, "width": WIDTH, "turns": True} | values

    def category(name: str, output: int, at: AloneThresholds) -> WitnessCategory:
        return WitnessCategory(
            name=name,
            outputs=(output,),
            calibration=Calibration(slope=1.0, offset=0.0),
            persistence=KOfN(k=k, n=n),
            go_on_at=0.5,
            thresholds=at,
        )

    return FrameSpec(
        kind="frame",
        name="tiny",
        version="1",
        model=ModelFile(file="tiny.onnx", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        input=FrameInput.model_validate(wanted),
        output=RowOutput(name=OUTPUT, size=2),
        categories=(
            category("firearm", 0, AloneThresholds(raise_tier=0.4, flag=0.7)),
            category("blood", 1, AloneThresholds(raise_tier=0.4)),
        ),
    )
