"""Reads a TensorFlow Lite file: its operators in order, their settings, and its constants as plain numbers.

Only what `onnx_graph` can turn into ONNX is read. The file may be broken or hostile: sizes are bounded, and
whatever is wrong with it is one ModelError. Source: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import ConfigError, ModelError
from edge.settings_file import read_settings_file

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_TENSORS: Final = 4096
MAX_OPERATORS: Final = 1024
MAX_RANK: Final = 8
_MOST_OPERANDS: Final = 16
_IDENTIFIER: Final = b"TFL3"
MISSING: Final = "the packages to read TFLite files are missing: pip install 'edge-gate[import]'"

_ACTIVATIONS: Final = {0: "NONE", 1: "RELU", 3: "RELU6"}
_PADDINGS: Final = {0: "SAME", 1: "VALID"}
_DTYPES: Final[dict[int, str]] = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 9: "i1"}
"""Numpy types of the schema's TensorType."""


@dataclass(frozen=True, slots=True)
class TfliteTensor:
    """A tensor. ``value`` is that of a constant: float32 where it was quantised or a float, else int64."""

    name: str
    shape: tuple[int, ...]
    value: npt.NDArray[Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    """An operator. Operands are indices of tensors, -1 for one that is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TfliteGraph:
    """The one graph of a file."""

    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    """In an order in which they can run."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(path: Path) -> TfliteGraph:
    """Reads a file.

    Raises ModelError for a file that is none, is damaged or over a bound, and ConfigError where the packages
    to read it are missing.
    """
    try:
        import tflite
    except ImportError:
        raise ConfigError(MISSING) from None
    try:
        content = read_settings_file(path, MAX_BYTES)
    except ConfigError as error:
        raise ModelError(str(error)) from None
    if content[4:8] != _IDENTIFIER:
        raise ModelError(f"{path}: no TensorFlow Lite file: bytes 4 to 7 are not {_IDENTIFIER.decode()}")
    try:
        return _TfliteReader(tflite, content).graph()
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except Exception as error:  # the flatbuffer's offsets are unchecked: anything may go wrong
        raise ModelError(f"{path}: damaged TensorFlow Lite file ({type(error).__name__}: {error})") from None


class _TfliteReader:
    """Reads one file. ``schema`` is the generated package."""

    def __init__(self, schema: Any, content: bytes) -> None:
        self._schema = schema
        self._left_bytes = 4 * MAX_BYTES
        """Constants may share a buffer: what all of them take is bounded, too."""
        self._model = schema.Model.GetRootAsModel(content, 0)
        self._kinds = {
            code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
        }

    def graph(self) -> TfliteGraph:
        if (graphs := self._model.SubgraphsLength()) != 1:
            raise ModelError(f"{graphs} subgraphs, one is wanted")
        graph = self._model.Subgraphs(0)
        tensors = _bounded("tensors", graph.TensorsLength(), MAX_TENSORS)
        operators = _bounded("operators", graph.OperatorsLength(), MAX_OPERATORS)
        read = tuple(self._tensor(graph.Tensors(index)) for index in range(tensors))
        return TfliteGraph(
            read,
            tuple(self._operator(graph.Operators(index), tensors) for index in range(operators)),
            _operands("inputs", graph.InputsLength(), graph.Inputs, tensors),
            _operands("outputs", graph.OutputsLength(), graph.Outputs, tensors),
        )

    def _tensor(self, tensor: Any) -> TfliteTensor:
        rank = _bounded("dimensions", tensor.ShapeLength(), MAX_RANK)
        shape = tuple(int(tensor.Shape(axis)) for axis in range(rank))
        name = (tensor.Name() or b"").decode("utf-8", "replace")[:128]
        return TfliteTensor(name, shape, self._value(tensor, shape))

    def _value(self, tensor: Any, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
        buffer = self._model.Buffers(tensor.Buffer())
        if buffer is None or not buffer.DataLength():
            return None
        if (dtype := _DTYPES.get(tensor.Type())) is None:
            return None  # of a type that no operator here takes
        raw = np.asarray(buffer.DataAsNumpy())
        self._left_bytes -= 8 * raw.size
        if self._left_bytes < 0:
            raise ModelError("its constants take too much memory")
        values = np.frombuffer(raw.tobytes(), dtype)
        if values.size != math.prod(shape) or any(size < 0 for size in shape):
            raise ModelError(f"a constant of {values.size} numbers has the shape {shape}")
        values = values.reshape(shape)
        scaled = _dequantised(values, tensor.Quantization())
        if scaled is not None:
            return scaled
        return values.astype(np.float32 if values.dtype.kind == "f" else np.int64)

    def _operator(self, operator: Any, tensors: int) -> TfliteOperator:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = self._kinds.get(number, f"operator {number}")
        options = self._options(kind, operator) if kind in _OPTIONS else {}
        return TfliteOperator(
            kind,
            _operands(kind, operator.InputsLength(), operator.Inputs, tensors),
            _operands(kind, operator.OutputsLength(), operator.Outputs, tensors),
            options,
        )

    def _options(self, kind: str, operator: Any) -> dict[str, Any]:
        name, read = _OPTIONS[kind]
        table = operator.BuiltinOptions()
        if table is None:
            raise ModelError(f"{kind}: its settings are missing")
        options = getattr(self._schema, name)()
        options.Init(table.Bytes, table.Pos)
        return read(options)


def _dequantised(values: npt.NDArray[Any], quantisation: Any) -> npt.NDArray[np.float32] | None:
    """Returns ``scale * (value - zero)``, by axis where there is a scale for each. None: not quantised."""
    if quantisation is None or not quantisation.ScaleLength():
        return None
    scales = np.asarray(quantisation.ScaleAsNumpy(), np.float64)
    zeros = (
        np.asarray(quantisation.ZeroPointAsNumpy(), np.float64)
        if quantisation.ZeroPointLength()
        else np.zeros(len(scales))
    )
    if len(scales) > 1:
        axis = quantisation.QuantizedDimension()
        shape = [1] * values.ndim
        shape[axis] = len(scales)
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    return np.asarray((values.astype(np.float64) - zeros) * scales, np.float32)


def _bounded(what: str, count: int, limit: int) -> int:
    if not 0 <= count <= limit:
        raise ModelError(f"{count} {what} are over the limit of {limit}")
    return count


def _operands(what: str, count: int, at: Callable[[int], Any], tensors: int) -> tuple[int, ...]:
    _bounded(f"operands of {what}", count, _MOST_OPERANDS)
    found = tuple(int(at(index)) for index in range(count))
    if any(not -1 <= index < tensors for index in found):
        raise ModelError(f"{what}: an operand is no tensor of the file")
    return found


def _window_of(options: Any) -> dict[str, Any]:
    if options.Padding() not in _PADDINGS:
        raise ModelError(f"padding {options.Padding()} is unknown")
    return {
        "padding": _PADDINGS[options.Padding()],
        "strides": (options.StrideH(), options.StrideW()),
        "dilations": (options.DilationHFactor(), options.DilationWFactor()),
        **_activation_of(options),
    }


def _activation_of(options: Any) -> dict[str, Any]:
    if (activation := options.FusedActivationFunction()) not in _ACTIVATIONS:
        raise ModelError(f"activation {activation} is unknown")
    return {"activation": _ACTIVATIONS[activation]}


_OPTIONS: Final[dict[str, tuple[str, Callable[[Any], dict[str, Any]]]]] = {
    "CONV_2D": ("Conv2DOptions", _window_of),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _window_of),
    "FULLY_CONNECTED": ("FullyConnectedOptions", _activation_of),
    "ADD": ("AddOptions", _activation_of),
    "MUL": ("MulOptions", _activation_of),
    "MEAN": ("ReducerOptions", lambda options: {"keep": bool(options.KeepDims())}),
}
