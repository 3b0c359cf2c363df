"""Recognises YAMNet, as its authors publish it in TensorFlow Lite's form, and turns it into ONNX.

Two forms are published: one takes log-mel patches and has 8-bit weights, the other takes a waveform and
computes the log-mel itself. Both hold the same network. What lies before its first convolution is left out,
because the gate computes the log-mel once for all audio models.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.detect.audio.audio_windows import FRAMES
from edge.detect.audio.log_mel import BANDS, mel_weights
from edge.detect.importing.onnx_graph import OnnxGraph
from edge.detect.importing.tflite_file import TfliteGraph, TfliteOperator, read_tflite
from edge.detect.manifest import ModelFile
from edge.detect.witness_specs import (
    AloneThresholds,
    AudioSpec,
    KOfN,
    RowOutput,
    SpectrumInput,
    WitnessCategory,
)
from edge.errors import ModelError

CLASSES: Final = 521
EMBEDDING: Final = 1024
CATEGORIES: Final = {"gunfire": (421, 422, 423), "explosion": (420,), "scream": (11,)}
"""Classes by category: gunshot, machine gun and fusillade; explosion; screaming. The best one counts. Source:
``yamnet_class_map.csv`` beside the published model."""
INPUT: Final = "log_mel"
SCORES: Final = "scores"
EMBEDDINGS: Final = "embedding"
FLAG_AT: Final = 0.7
"""Between 1.3 and 0.4 false alarms an hour of street, machines and music, in two of five windows."""
RAISE_AT: Final = 0.3
_LAYERS: Final = {"CONV_2D": 14, "DEPTHWISE_CONV_2D": 13, "FULLY_CONNECTED": 1, "MEAN": 1, "LOGISTIC": 1}


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """An ONNX file that takes log-mel patches."""

    onnx: bytes
    takes_waveform: bool
    """Whether the published file computed the log-mel itself."""


def convert_yamnet(path: Path) -> ConvertedModel:
    """Reads a published file.

    The result takes ``log_mel``, float32 ``(N, 96, 64)``, and gives ``scores``, float32 ``(N, 521)``, and
    ``embedding``, float32 ``(N, 1024)``. Raises ModelError for any other network, and ConfigError where the
    packages to read the file are missing.
    """
    graph = read_tflite(path)
    try:
        network = _network(graph)
        _check_front(graph, network)
        patch = math.prod(graph.tensors[graph.inputs[0]].shape) == FRAMES * BANDS
        return ConvertedModel(_converted(graph, network), takes_waveform=not patch)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def _network(graph: TfliteGraph) -> tuple[TfliteOperator, ...]:
    """Returns the operators from the first convolution on."""
    if not graph.inputs:
        raise _other("no input")
    first = next((n for n, one in enumerate(graph.operators) if one.kind == "CONV_2D"), None)
    if first is None:
        raise _other("no convolution")
    network = graph.operators[first:]
    found = Counter(one.kind for one in network)
    for kind, count in _LAYERS.items():
        if found[kind] != count:
            raise _other(f"{found[kind]} layers {kind}, not {count}")
    given = network[0].inputs[0]
    if given < 0 or graph.tensors[given].shape[1:] != (FRAMES, BANDS, 1):
        raise _other("its first convolution does not take patches of 96 x 64")
    return network


def _check_front(graph: TfliteGraph, network: tuple[TfliteOperator, ...]) -> None:
    """Checks that a file that computes the log-mel itself uses the bands that the gate uses."""
    front = graph.operators[: len(graph.operators) - len(network)]
    bands = mel_weights()
    for operator in front:
        for index in operator.inputs:
            value = graph.tensors[index].value if index >= 0 else None
            if value is None or value.size != bands.size:
                continue
            matrix = value.reshape(value.shape[-2:]) if value.ndim >= 2 else value.reshape(bands.shape)
            matrix = matrix.T if matrix.shape == bands.T.shape else matrix
            if matrix.shape != bands.shape or not np.allclose(matrix, bands, atol=1e-3):
                raise _other("its mel bands are not YAMNet's")


def _converted(graph: TfliteGraph, network: tuple[TfliteOperator, ...]) -> bytes:
    onnx = OnnxGraph(graph, network[0].inputs[0], INPUT)
    scores = embedding = -1
    for operator in network:
        if operator.kind == "FULLY_CONNECTED":
            embedding = operator.inputs[0]
        computed = any(onnx.name_of(index) is not None for index in operator.inputs)
        if computed:  # what does not follow from the patch is another output, as the spectrogram
            onnx.add_operator(operator)
        if operator.kind == "LOGISTIC":
            scores = operator.outputs[0]
    for what, tensor, size in ((SCORES, scores, CLASSES), (EMBEDDINGS, embedding, EMBEDDING)):
        if onnx.name_of(tensor) is None or onnx.shape_of(tensor) != (size,):
            raise _other(f"its {what} are not {size} numbers")
    return onnx.model({SCORES: scores, EMBEDDINGS: embedding}, "edge-gate model import yamnet")


def _other(why: str) -> ModelError:
    return ModelError(f"not YAMNet as its authors publish it: {why}")


def yamnet_spec(onnx: bytes) -> AudioSpec:
    """Returns what a manifest says of the converted network. Gunfire and explosions flag, screams only bear
    witness."""
    return AudioSpec(
        kind="audio",
        name="yamnet",
        version="1",
        model=ModelFile(file="yamnet.onnx", sha256=hashlib.sha256(onnx).hexdigest(), bytes=len(onnx)),
        licence="Apache-2.0",
        card="docs/tune/sound.md",
        input=SpectrumInput(name=INPUT),
        output=RowOutput(name=SCORES, size=CLASSES),
        categories=tuple(
            WitnessCategory(
                name=name,
                outputs=columns,
                persistence=KOfN(k=2, n=5),
                go_on_at=RAISE_AT,
                thresholds=AloneThresholds(raise_tier=RAISE_AT, flag=None if name == "scream" else FLAG_AT),
            )
            for name, columns in CATEGORIES.items()
        ),
    )
