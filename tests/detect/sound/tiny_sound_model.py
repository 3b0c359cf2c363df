"""A small audio model for tests: loud noise over all bands is gunfire to it, and a loud high tone a
scream."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from edge.detect.sound.persistence import PersistenceRule
from edge.detect.sound.sound_model import SoundCategory, SoundModelSpec
from edge.detect.sound.sound_windows import ListeningRules

INPUT, OUTPUT = "log_mel", "scores"
GUNFIRE, EXPLOSION, SCREAM = 0, 1, 2


def tiny_sound_onnx() -> bytes:
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


def tiny_spec(k: int = 2, n: int = 5) -> SoundModelSpec:
    rule = PersistenceRule(k, n)
    return SoundModelSpec(
        input=INPUT,
        output=OUTPUT,
        outputs=3,
        categories=(
            SoundCategory("gunfire", (GUNFIRE,), rule, 0.5),
            SoundCategory("explosion", (EXPLOSION,), PersistenceRule(1, 1), 0.5),
            SoundCategory("scream", (SCREAM,), rule, 0.5),
        ),
        rules=ListeningRules(),
    )
