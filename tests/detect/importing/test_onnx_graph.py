"""Imported operators compute what TensorFlow Lite's do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.detect.importing.onnx_graph import OnnxGraph
from edge.detect.importing.tflite_file import MAX_OPERATORS, read_tflite
from edge.errors import ModelError
from tests.detect.importing.tiny_tflite import TinyOperator, TinyTensor, tiny_tflite

if not os.environ.get("CI"):  # there nothing may be missing
    pytest.importorskip("tflite")
    pytest.importorskip("onnx")
NONE, RELU6, SAME, VALID = 0, 3, 0, 1
Array = npt.NDArray[Any]


def window(padding: int, stride: int, activation: int) -> dict[str, int]:
    return {
        "Padding": padding,
        "StrideH": stride,
        "StrideW": stride,
        "DilationHFactor": 1,
        "DilationWFactor": 1,
        "FusedActivationFunction": activation,
    }


def convolved(
    picture: Array, weights: Array, bias: Array, padding: int, stride: int, *, depthwise: bool
) -> Array:
    """TensorFlow's convolution of ``(rows, columns, channels)``, written out."""
    _, high, wide, _ = weights.shape
    sizes, begins = [], []
    for size, side in zip(picture.shape[:2], (high, wide), strict=True):
        out = -(-size // stride) if padding == SAME else (size - side) // stride + 1
        total = max((out - 1) * stride + side - size, 0) if padding == SAME else 0
        sizes.append(out)
        begins.append(total // 2)
    channels = weights.shape[3] if depthwise else weights.shape[0]
    result = np.zeros((*sizes, channels))
    padded = np.pad(picture, ((8, 8), (8, 8), (0, 0)))
    for y in range(sizes[0]):
        for x in range(sizes[1]):
            top, left = 8 + y * stride - begins[0], 8 + x * stride - begins[1]
            part = padded[top : top + high, left : left + wide]
            if depthwise:
                many = channels // picture.shape[2]
                result[y, x] = (np.repeat(part, many, axis=2) * weights[0]).sum((0, 1))
            else:
                result[y, x] = (part[np.newaxis] * weights).sum((1, 2, 3))
    return result + bias


def run(content: bytes, path: Path, last: int, picture: Array) -> Array:
    import onnxruntime as ort

    path.write_bytes(content)
    graph = read_tflite(path)
    onnx = OnnxGraph(graph, 0, "picture_in")
    for operator in graph.operators:
        onnx.add_operator(operator)
    session = ort.InferenceSession(onnx.model({"out": last}, "a test"))
    return np.asarray(session.run(["out"], {"picture_in": picture[np.newaxis].astype(np.float32)})[0][0])


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(9, 12), (10, 7)])
def test_a_whole_network(padding: int, stride: int, size: tuple[int, int], tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    weights = random.integers(-99, 99, (4, 3, 3, 1), dtype=np.int8)
    scales = [0.01, 0.02, 0.005, 0.01]
    deep = (0.1 * random.standard_normal((1, 2, 3, 8))).astype(np.float32)
    factor = random.uniform(0.5, 2, 8).astype(np.float32)
    shift = random.standard_normal(8).astype(np.float32)
    dense = random.standard_normal((5, 8)).astype(np.float32)
    biases = [random.standard_normal(n).astype(np.float32) for n in (4, 8, 5)]
    unknown = (1, 1, 1, 1)
    tensors = [
        TinyTensor((1, *size, 1)),
        TinyTensor(weights.shape, weights, scales),
        TinyTensor((4,), biases[0]),
        TinyTensor(unknown),
        TinyTensor(deep.shape, deep),
        TinyTensor((8,), biases[1]),
        TinyTensor(unknown),
        TinyTensor((8,), factor),
        TinyTensor(unknown),
        TinyTensor((8,), shift),
        TinyTensor(unknown),
        TinyTensor((2,), np.array([1, 2], np.int32)),
        TinyTensor(unknown),
        TinyTensor(dense.shape, dense),
        TinyTensor((5,), biases[2]),
        TinyTensor((1, 5)),
        TinyTensor((1, 5)),
        TinyTensor((1, 5)),
    ]
    plain = {"FusedActivationFunction": NONE}
    operators = [
        TinyOperator("CONV_2D", (0, 1, 2), (3,), window(padding, stride, RELU6)),
        TinyOperator("DEPTHWISE_CONV_2D", (3, 4, 5), (6,), window(SAME, 1, NONE)),
        TinyOperator("MUL", (6, 7), (8,), plain),
        TinyOperator("ADD", (9, 8), (10,), {"FusedActivationFunction": 1}),
        TinyOperator("MEAN", (10, 11), (12,), {"KeepDims": 1}),
        TinyOperator("FULLY_CONNECTED", (12, 13, 14), (15,), plain),
        TinyOperator("LOGISTIC", (15,), (16,)),
        TinyOperator("DEQUANTIZE", (16,), (17,)),
    ]
    picture = random.standard_normal(size)
    found = run(tiny_tflite(tensors, operators, [0], [17]), tmp_path / "a.tflite", 17, picture)

    real = weights * np.array(scales).reshape(4, 1, 1, 1)
    one = np.clip(convolved(picture[..., None], real, biases[0], padding, stride, depthwise=False), 0, 6)
    two = convolved(one, deep, biases[1], SAME, 1, depthwise=True)
    three = np.maximum(two * factor + shift, 0).mean((0, 1))
    wanted = 1 / (1 + np.exp(-(dense @ three + biases[2])))
    assert found == pytest.approx(wanted, abs=1e-5)


def one_convolution(weights: Array, settings: dict[str, int]) -> bytes:
    tensors = [TinyTensor((1, 8, 8, 1)), TinyTensor(weights.shape, weights), TinyTensor((1, 8, 8, 2))]
    return tiny_tflite(tensors, [TinyOperator("CONV_2D", (0, 1, -1), (2,), settings)], [0], [2])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (one_convolution(np.ones((2, 3, 3, 5), np.float32), window(SAME, 1, NONE)), "do not fit 1 channels"),
        (one_convolution(np.ones((2, 3, 3, 1), np.float32), window(SAME, 0, NONE)), "do not fit"),
        (one_convolution(np.ones((2, 9, 9, 1), np.float32), window(VALID, 1, NONE)), "gives"),
        (one_convolution(np.ones((2, 3, 3, 1), np.float32), window(SAME, 1, 2)), "activation 2 is unknown"),
        (one_convolution(np.ones((2, 3, 3, 1), np.float32), window(7, 1, NONE)), "padding 7 is unknown"),
        (one_convolution(np.ones((2, 3), np.float32), window(SAME, 1, NONE)), "2 dimensions, 4 are wanted"),
        (
            tiny_tflite(
                [TinyTensor((1, 8, 8, 1)), TinyTensor((1,))], [TinyOperator("FLOOR", (0,), (1,))], [0], [1]
            ),
            "operator FLOOR cannot be imported",
        ),
        (
            tiny_tflite(
                [TinyTensor((1, 8, 8, 1)), TinyTensor((1,))],
                [TinyOperator("RELU", (0,), (1,))] * (MAX_OPERATORS + 1),
                [0],
                [1],
            ),
            "1025 operators are over the limit of 1024",
        ),
        (tiny_tflite([TinyTensor((3,), np.ones(4, np.float32))], [], [0], [0]), "4 numbers has the shape"),
        (
            tiny_tflite([TinyTensor((3,))], [TinyOperator("RELU", (7,), (0,))], [0], [0]),
            "no tensor of the file",
        ),
        (b"nothing", "no TensorFlow Lite file"),
        (b"\xff" * 4 + b"TFL3" + b"\xff" * 64, "damaged TensorFlow Lite file"),
        (b"", "no TensorFlow Lite file"),
    ],
)
def test_what_cannot_be_imported_is_refused_and_said(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    with pytest.raises(ModelError, match=says):
        run(content, path, 2, np.zeros((8, 8)))
