"""Quantises fp32 ONNX to static int8 QDQ: per-channel int8 weights, uint8 activations."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

QUANTISED = ["Conv", "Add", "Clip", "Relu"]
"""Quantised operators. Differencing and pooling stay in float: they cost little, and int8 would lose much."""
PERCENTILE = 99.99
"""Percentile of activations that the uint8 range covers. The rest saturates."""


class _Reader(CalibrationDataReader):
    def __init__(self, name: str, samples: Sequence[NDArray[np.uint8]]) -> None:
        self._name = name
        self._rest: Iterator[NDArray[np.uint8]] = iter(samples)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        sample = next(self._rest, None)
        return None if sample is None else {self._name: sample[np.newaxis]}


def quantise(
    source: Path,
    target: Path,
    name: str,
    samples: Sequence[NDArray[np.uint8]],
    *,
    in_float: str = "/differences/",
    reduced: bool = False,
) -> None:
    """Calibrates on uint8 ``(3, H, W)`` samples, and writes the int8 graph.

    Nodes with ``in_float`` in their names stay in float. ``reduced`` keeps weights to seven bits: then the
    sums cannot overflow on processors without VNNI, and scores are the same everywhere. Activations are
    unsigned, because signed ones cost 1.6 times as much on x86.
    """
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(str(prepared)).graph
        keep = [node.name for node in graph.node if in_float in node.name and node.op_type != "Conv"]
        quantize_static(
            str(prepared),
            str(target),
            _Reader(name, samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            op_types_to_quantize=QUANTISED,
            reduce_range=reduced,
            nodes_to_exclude=keep,
            extra_options={"CalibPercentile": PERCENTILE},
        )
