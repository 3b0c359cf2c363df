"""Builds an ONNX graph from the part of a TensorFlow Lite graph that is a plain convolutional classifier.

TensorFlow Lite keeps channels last and ONNX before the frame, so weights and axes are turned. Quantised
weights become floats, and steps that only quantise are left out: the graph computes in float32 what the file
approximates in 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.detect.importing.tflite_file import MISSING, TfliteGraph, TfliteOperator
from edge.errors import ConfigError, ModelError

OPSET: Final = 13
IR_VERSION: Final = 8
"""What onnxruntime 1.20 reads."""

Floats = npt.NDArray[np.float32]


class OnnxGraph:
    """Turns operators into nodes, one after the other.

    ``given`` maps the index of the tensor at which the graph begins to the name of the graph's input. That
    input is ``(N, rows, columns)``, a frame with one channel. Raises ConfigError where the onnx package is
    missing.
    """

    def __init__(self, graph: TfliteGraph, given: int, name: str) -> None:
        try:
            import onnx
        except ImportError:
            raise ConfigError(MISSING) from None
        self._onnx = onnx
        self._graph = graph
        self._input = name
        self._names: dict[int, str] = {given: "picture"}
        self._shapes: dict[int, tuple[int, ...]] = {given: self._picture_shape(given)}
        """Shapes of frames as ``(channels, rows, columns)``, and of rows of numbers as ``(n,)``."""
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        axis = self._constant("axis_of_channels", np.array([1], np.int64))
        self._add("Unsqueeze", [name, axis], "picture")

    def name_of(self, tensor: int) -> str | None:
        """Returns the name of a tensor that the graph computes. None: it does not."""
        return self._names.get(tensor)

    def shape_of(self, tensor: int) -> tuple[int, ...]:
        return self._shapes[tensor]

    def add_operator(self, operator: TfliteOperator) -> None:
        """Adds an operator whose first input the graph computes. Raises ModelError for one that cannot be."""
        turn = _TURNED.get(operator.kind)
        if turn is None:
            known = ", ".join(sorted(_TURNED))
            raise ModelError(f"operator {operator.kind} cannot be imported; those that can: {known}")
        if len(operator.outputs) != 1 or not operator.inputs:
            raise ModelError(f"{operator.kind}: one output and at least one input are wanted")
        turn(self, operator)

    def model(self, outputs: Mapping[str, int], producer: str) -> bytes:
        """Returns the ONNX file. ``outputs`` maps the names of outputs to tensors, which are rows of
        numbers."""
        helper, floats = self._onnx.helper, self._onnx.TensorProto.FLOAT
        for name, tensor in outputs.items():
            self._nodes.append(helper.make_node("Identity", [self._names[tensor]], [name]))
        rows, columns = self._shapes[next(iter(self._shapes))][1:]
        graph = helper.make_graph(
            self._nodes,
            "imported",
            [helper.make_tensor_value_info(self._input, floats, ["N", rows, columns])],
            [
                helper.make_tensor_value_info(name, floats, ["N", *self._shapes[tensor]])
                for name, tensor in outputs.items()
            ],
            self._constants,
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name=producer)
        self._onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    # operators

    def _convolve(self, operator: TfliteOperator) -> None:
        given, weights, bias = self._layer(operator, 4)
        channels, rows, columns = self._picture(given)
        depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        if depthwise:  # (1, rows, columns, channels * multiplier)
            weights, groups = weights.transpose(3, 0, 1, 2), channels
            fits = weights.shape[1] == 1 and weights.shape[0] % channels == 0
        else:  # (channels out, rows, columns, channels in)
            weights, groups = weights.transpose(0, 3, 1, 2), 1
            fits = weights.shape[1] == channels
        kernel, strides = weights.shape[2:], operator.options["strides"]
        if not fits or min(kernel) < 1 or min(strides) < 1 or operator.options["dilations"] != (1, 1):
            raise ModelError(f"{operator.kind}: weights {weights.shape} do not fit {channels} channels")
        pads, sizes = [], []
        for size, window, step in zip((rows, columns), kernel, strides, strict=True):
            before, after, out = _padding(operator.options["padding"], size, window, step)
            pads.append((before, after))
            sizes.append(out)
        target = self._result(operator, (weights.shape[0], *sizes))
        self._add(
            "Conv",
            [
                self._names[given],
                self._constant(f"{target}_weights", weights),
                self._constant(f"{target}_bias", bias),
            ],
            self._before_activation(target, operator),
            strides=list(strides),
            kernel_shape=list(kernel),
            pads=[pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
            group=groups,
        )
        self._activate(target, operator)

    def _connect(self, operator: TfliteOperator) -> None:
        given, weights, bias = self._layer(operator, 2)
        if self._row(given) != weights.shape[1]:
            raise ModelError(f"FULLY_CONNECTED: {weights.shape} weights for {self._row(given)} numbers")
        target = self._result(operator, (weights.shape[0],))
        self._add(
            "Gemm",
            [
                self._names[given],
                self._constant(f"{target}_weights", weights),
                self._constant(f"{target}_bias", bias),
            ],
            self._before_activation(target, operator),
            transB=1,
        )
        self._activate(target, operator)

    def _average(self, operator: TfliteOperator) -> None:
        given = operator.inputs[0]
        channels, *_ = self._picture(given)
        axes = self._values(operator, 1)
        if sorted(int(axis) % 4 for axis in axes.reshape(-1)) != [1, 2]:
            raise ModelError(f"MEAN: over the axes {axes.tolist()}, 1 and 2 are wanted")
        target = self._result(operator, (channels,))
        self._add("ReduceMean", [self._names[given]], target, axes=[2, 3], keepdims=0)

    def _logistic(self, operator: TfliteOperator) -> None:
        given = operator.inputs[0]
        target = self._result(operator, self._known(given))
        self._add("Sigmoid", [self._names[given]], target)

    def _pass(self, operator: TfliteOperator) -> None:
        """Quantising, and reshaping a row of numbers to one, change nothing here."""
        given = operator.inputs[0]
        shape = self._known(given)
        if operator.kind == "RESHAPE" and len(shape) != 1:
            raise ModelError(f"RESHAPE: of an image {shape}, a row of numbers is wanted")
        self._names[operator.outputs[0]], self._shapes[operator.outputs[0]] = self._names[given], shape

    def _combine(self, operator: TfliteOperator) -> None:
        """Adds or multiplies a constant for each channel, as of a normalisation that was not folded."""
        constants = [n for n, index in enumerate(operator.inputs) if index not in self._names]
        if len(operator.inputs) != 2 or len(constants) != 1:
            raise ModelError(f"{operator.kind}: one computed and one constant operand are wanted")
        value = self._values(operator, constants[0]).astype(np.float32).reshape(-1)
        given = operator.inputs[1 - constants[0]]
        shape = self._known(given)
        if value.size not in (1, shape[0]):
            raise ModelError(f"{operator.kind}: {value.size} constants for {shape[0]} channels")
        target = self._result(operator, shape)
        constant = self._constant(f"{target}_constant", value.reshape(-1, *[1] * (len(shape) - 1)))
        kind = "Add" if operator.kind == "ADD" else "Mul"
        self._add(kind, [self._names[given], constant], self._before_activation(target, operator))
        self._activate(target, operator)

    def _activation(self, operator: TfliteOperator) -> None:
        given = operator.inputs[0]
        target = self._result(operator, self._known(given))
        self._add(
            _activation_node(operator.kind),
            self._activation_inputs(self._names[given], operator.kind),
            target,
        )

    # parts

    def _layer(self, operator: TfliteOperator, rank: int) -> tuple[int, Floats, Floats]:
        """Returns the input, weights and bias of a layer."""
        given = operator.inputs[0]
        weights = self._values(operator, 1).astype(np.float32)
        if weights.ndim != rank:
            raise ModelError(f"{operator.kind}: weights have {weights.ndim} dimensions, {rank} are wanted")
        out = weights.shape[3] if operator.kind == "DEPTHWISE_CONV_2D" else weights.shape[0]
        if len(operator.inputs) < 3 or operator.inputs[2] < 0:
            return given, weights, np.zeros(out, np.float32)
        bias = self._values(operator, 2).astype(np.float32)
        if bias.shape != (out,):
            raise ModelError(f"{operator.kind}: a bias of {bias.shape} for {out} outputs")
        return given, weights, bias

    def _values(self, operator: TfliteOperator, position: int) -> npt.NDArray[Any]:
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        value = self._graph.tensors[index].value if index >= 0 else None
        if value is None:
            raise ModelError(f"{operator.kind}: input {position} is no constant")
        return value

    def _known(self, tensor: int) -> tuple[int, ...]:
        if tensor not in self._shapes:
            raise ModelError("an operator needs a tensor that is computed elsewhere")
        return self._shapes[tensor]

    def _picture(self, tensor: int) -> tuple[int, ...]:
        shape = self._known(tensor)
        if len(shape) != 3:
            raise ModelError(f"an image is wanted, and {shape} given")
        return shape

    def _row(self, tensor: int) -> int:
        shape = self._known(tensor)
        if len(shape) != 1:
            raise ModelError(f"a row of numbers is wanted, and {shape} given")
        return shape[0]

    def _picture_shape(self, tensor: int) -> tuple[int, ...]:
        shape = self._graph.tensors[tensor].shape
        if len(shape) != 4 or shape[3] != 1 or min(shape[1:]) < 1:
            raise ModelError(f"the graph begins with {shape}, (1, rows, columns, 1) is wanted")
        return 1, shape[1], shape[2]

    def _result(self, operator: TfliteOperator, shape: tuple[int, ...]) -> str:
        tensor = operator.outputs[0]
        if tensor in self._names or min(shape) < 1:
            raise ModelError(f"{operator.kind}: gives {shape}, or what is there already")
        self._names[tensor], self._shapes[tensor] = f"t{tensor}", shape
        return self._names[tensor]

    def _before_activation(self, target: str, operator: TfliteOperator) -> str:
        return target if operator.options["activation"] == "NONE" else f"{target}_raw"

    def _activate(self, target: str, operator: TfliteOperator) -> None:
        activation = operator.options["activation"]
        if activation != "NONE":
            self._add(
                _activation_node(activation), self._activation_inputs(f"{target}_raw", activation), target
            )

    def _activation_inputs(self, source: str, activation: str) -> list[str]:
        if activation == "RELU":
            return [source]
        bounds = [self._constant(f"bound_{value}", np.array(value, np.float32)) for value in (0, 6)]
        return [source, *bounds]

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        if name not in {constant.name for constant in self._constants}:
            self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))


def _activation_node(activation: str) -> str:
    return "Relu" if activation == "RELU" else "Clip"


def _padding(kind: str, size: int, window: int, step: int) -> tuple[int, int, int]:
    """Returns the padding before and after, and the size of the result. TensorFlow pads more at the end."""
    if kind == "VALID":
        return 0, 0, (size - window) // step + 1
    out = -(-size // step)
    total = max((out - 1) * step + window - size, 0)
    return total // 2, total - total // 2, out


_TURNED: Final = {
    "CONV_2D": OnnxGraph._convolve,
    "DEPTHWISE_CONV_2D": OnnxGraph._convolve,
    "FULLY_CONNECTED": OnnxGraph._connect,
    "MEAN": OnnxGraph._average,
    "LOGISTIC": OnnxGraph._logistic,
    "QUANTIZE": OnnxGraph._pass,
    "DEQUANTIZE": OnnxGraph._pass,
    "RESHAPE": OnnxGraph._pass,
    "ADD": OnnxGraph._combine,
    "MUL": OnnxGraph._combine,
    "RELU": OnnxGraph._activation,
    "RELU6": OnnxGraph._activation,
}
