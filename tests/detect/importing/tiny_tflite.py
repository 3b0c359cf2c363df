"""Writes small TensorFlow Lite files, in the schema's own encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

_TYPES = {"float32": 0, "int32": 2, "int8": 9}


@dataclass
class TinyTensor:
    shape: tuple[int, ...]
    value: npt.NDArray[Any] | None = None
    scales: Sequence[float] = ()
    axis: int = 0
    dtype: str = "float32"


@dataclass
class TinyOperator:
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    settings: dict[str, int] = field(default_factory=dict)


_SETTINGS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "MEAN": "ReducerOptions",
}


def tiny_tflite(
    tensors: Sequence[TinyTensor],
    operators: Sequence[TinyOperator],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> bytes:
    import flatbuffers
    import tflite

    builder = flatbuffers.Builder(1 << 16)

    def vector(
        start: Callable[[Any, int], Any], items: Sequence[float], add: str = "PrependUOffsetTRelative"
    ) -> Any:
        start(builder, len(items))
        for item in reversed(items):
            getattr(builder, add)(item)
        return builder.EndVector()

    kinds = sorted({one.kind for one in operators})
    buffers = [b""] + [b"" if one.value is None else one.value.tobytes() for one in tensors]
    made_buffers = []
    for content in buffers:
        data = builder.CreateByteVector(content) if content else None
        tflite.BufferStart(builder)
        if data is not None:
            tflite.BufferAddData(builder, data)
        made_buffers.append(tflite.BufferEnd(builder))
    made_tensors = []
    for number, one in enumerate(tensors, start=1):
        name = builder.CreateString(f"tensor {number}")
        shape = vector(tflite.TensorStartShapeVector, one.shape, "PrependInt32")
        quantisation = None
        if one.scales:
            scales = vector(
                tflite.QuantizationParametersStartScaleVector,
                one.scales,
                "PrependFloat32",
            )
            tflite.QuantizationParametersStart(builder)
            tflite.QuantizationParametersAddScale(builder, scales)
            tflite.QuantizationParametersAddQuantizedDimension(builder, one.axis)
            quantisation = tflite.QuantizationParametersEnd(builder)
        dtype = str(one.value.dtype) if one.value is not None else one.dtype
        tflite.TensorStart(builder)
        tflite.TensorAddName(builder, name)
        tflite.TensorAddShape(builder, shape)
        tflite.TensorAddType(builder, _TYPES[dtype])
        tflite.TensorAddBuffer(builder, number)
        if quantisation is not None:
            tflite.TensorAddQuantization(builder, quantisation)
        made_tensors.append(tflite.TensorEnd(builder))
    made_operators = []
    for step in operators:
        given = vector(tflite.OperatorStartInputsVector, step.inputs, "PrependInt32")
        gives = vector(tflite.OperatorStartOutputsVector, step.outputs, "PrependInt32")
        settings = None
        if step.kind in _SETTINGS:
            name = _SETTINGS[step.kind]
            getattr(tflite, f"{name}Start")(builder)
            for what, value in step.settings.items():
                getattr(tflite, f"{name}Add{what}")(builder, value)
            settings = getattr(tflite, f"{name}End")(builder)
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, kinds.index(step.kind))
        tflite.OperatorAddInputs(builder, given)
        tflite.OperatorAddOutputs(builder, gives)
        if settings is not None:
            tflite.OperatorAddBuiltinOptionsType(
                builder, getattr(tflite.BuiltinOptions, _SETTINGS[step.kind])
            )
            tflite.OperatorAddBuiltinOptions(builder, settings)
        made_operators.append(tflite.OperatorEnd(builder))
    made_codes = []
    for kind in kinds:
        code = getattr(tflite.BuiltinOperator, kind)
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(builder, code)
        made_codes.append(tflite.OperatorCodeEnd(builder))
    parts = (
        vector(tflite.SubGraphStartTensorsVector, made_tensors),
        vector(tflite.SubGraphStartInputsVector, inputs, "PrependInt32"),
        vector(tflite.SubGraphStartOutputsVector, outputs, "PrependInt32"),
        vector(tflite.SubGraphStartOperatorsVector, made_operators),
    )
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, parts[0])
    tflite.SubGraphAddInputs(builder, parts[1])
    tflite.SubGraphAddOutputs(builder, parts[2])
    tflite.SubGraphAddOperators(builder, parts[3])
    subgraph = tflite.SubGraphEnd(builder)
    codes = vector(tflite.ModelStartOperatorCodesVector, made_codes)
    graphs = vector(tflite.ModelStartSubgraphsVector, [subgraph])
    held = vector(tflite.ModelStartBuffersVector, made_buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, held)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())
