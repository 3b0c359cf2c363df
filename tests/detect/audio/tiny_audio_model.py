"""A small audio model for tests: loud noise over all bands is gunfire to it, and a loud high tone a
scream."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import pytest

from edge.detect.manifest import ModelFile
from edge.detect.witness_specs import (
    AloneThresholds,
    AudioSpec,
    KOfN,
    RowOutput,
    SpectrumInput,
    WitnessCategory,
)

INPUT, OUTPUT = "log_mel", "scores"
GUNFIRE, EXPLOSION, SCREAM = 0, 1, 2


def tiny_audio_onnx() -> bytes:
    """Takes float32 ``(N, 96, 64)`` and gives float32 ``(N, 3)``: gunfire, explosion, scream.

    Gunfire follows from the quietest quarter of the bands at their loudest moment: noise fills all bands.
    Explosion is a constant 0.01. A scream is a band among the highest that is as loud as noise, where that
    quarter is not.
    """
    if not os.environ.get("CI"):  # there nothing may be missing
        pytest.importorskip("onnx")
    from onnx import TensorProto, checker, helper, numpy_helper

    def constant(name: str, *values: float) -> Any:
        return numpy_helper.from_array(np.array(values, np.float32), name)

    def indices(name: str, *values: int) -> Any:
        return numpy_helper.from_array(np.array(values, np.int64), name)

    nodes = [
        helper.make_node("ReduceMax", [INPUT], ["loudest"], axes=[1], keepdims=0),
        helper.make_node("ReduceMin", ["loudest"], ["weakest"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["weakest", "level"], ["over"]),
        helper.make_node("Mul", ["over", "steep"], ["gun_logit"]),
        helper.make_node("Slice", ["loudest", "from", "to", "axis"], ["high"]),
        helper.make_node("ReduceMax", ["high"], ["highest"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["highest", "weakest"], ["stands_out"]),
        helper.make_node("Sub", ["stands_out", "apart"], ["scream_over"]),
        helper.make_node("Mul", ["scream_over", "steep"], ["scream_logit"]),
        helper.make_node("Mul", ["gun_logit", "none"], ["nothing"]),
        helper.make_node("Add", ["nothing", "rare"], ["boom_logit"]),
        helper.make_node("Concat", ["gun_logit", "boom_logit", "scream_logit"], ["logits"], axis=1),
        helper.make_node("Sigmoid", ["logits"], [OUTPUT]),
    ]
    constants = [
        constant("level", -0.5),
        constant("steep", 6.0),
        constant("apart", 5.0),
        constant("none", 0.0),
        constant("rare", -4.6),
        indices("from", 40),
        indices("to", 64),
        indices("axis", 1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 96, 64])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_spec(k: int = 2, n: int = 5, content: bytes | None = None) -> AudioSpec:
    content = tiny_audio_onnx() if content is None else content
    flags = AloneThresholds(raise_tier=0.3, flag=0.6)

    def category(name: str, output: int, rule: KOfN, at: AloneThresholds) -> WitnessCategory:
        return WitnessCategory(name=name, outputs=(output,), persistence=rule, go_on_at=0.5, thresholds=at)

    return AudioSpec(
        kind="audio",
        name="tiny",
        version="1",
        model=ModelFile(file="tiny.onnx", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        input=SpectrumInput(name=INPUT),
        output=RowOutput(name=OUTPUT, size=3),
        categories=(
            category("gunfire", GUNFIRE, KOfN(k=k, n=n), flags),
            category("explosion", EXPLOSION, KOfN(k=1, n=1), flags),
            category("scream", SCREAM, KOfN(k=k, n=n), AloneThresholds(raise_tier=0.3)),
        ),
    )
