"""Exports the embedder as an ONNX graph, its int8 form, and the shipped file that includes the
head's score."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.detect.manifest import (
    Calibration,
    Category,
    InputSpec,
    ModelFile,
    MotionSpec,
    OutputSpec,
    Thresholds,
    TierCalibration,
)
from edge.policy import BeliefPolicy
from models.train import quantise as quantise_module
from models.train.cache import CACHE, PLANE, SHORT_SIDE
from models.train.head import WINDOW_SAMPLES, Head
from models.train.network import EMBEDDING, Embedder
from models.train.quantise import quantise
from models.train.record import put_model
from models.train.samples import SIZE
from models.train.sampling import DELTA_MS, STEP_MS

NAME = "fight-lite0"
INPUT = "planes"
EMBEDDING_OUTPUT = "embedding"
LOGITS_OUTPUT = "logits"
OPSET = 17


def write_fp32() -> Path:
    """Writes the embedder as a float graph, batch 1, into the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / "embedder-fp32.onnx"
    torch.onnx.export(
        Embedder(SIZE).eval(),
        (torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8),),
        str(target),
        input_names=[INPUT],
        output_names=[EMBEDDING_OUTPUT],
        opset_version=OPSET,
        dynamo=False,
    )
    return target


def write_int8(fp32: Path, samples: Sequence[NDArray[np.uint8]]) -> Path:
    """Writes the quantised embedder into the cache. Keeps the result of an earlier run on the same input."""
    made_of = hashlib.sha256(fp32.read_bytes() + Path(quantise_module.__file__).read_bytes())
    for sample in samples:
        made_of.update(sample.tobytes())
    target = fp32.with_name(f"embedder-int8-{made_of.hexdigest()[:16]}.onnx")
    if not target.exists():
        part = target.with_suffix(".part.onnx")
        quantise(fp32, part, INPUT, samples)
        part.rename(target)
    return target


def write_model(embedder: Path, head: Head, target: Path) -> None:
    """Writes the embedder's graph with the sample score as a second output."""
    model = onnx.load(str(embedder))
    graph = model.graph
    weight = np.ascontiguousarray(head.score_weight[:, None], dtype=np.float32)
    bias = np.array([head.score_bias], dtype=np.float32)
    graph.initializer.append(numpy_helper.from_array(weight, "score.weight"))
    graph.initializer.append(numpy_helper.from_array(bias, "score.bias"))
    graph.node.append(
        helper.make_node(
            "Gemm", [EMBEDDING_OUTPUT, "score.weight", "score.bias"], [LOGITS_OUTPUT], name="score"
        )
    )
    graph.output.append(helper.make_tensor_value_info(LOGITS_OUTPUT, TensorProto.FLOAT, [1, 1]))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def write_manifest(
    directory: Path,
    model: Path,
    *,
    version: str,
    head: Head,
    calibration: TierCalibration,
    thresholds: Thresholds,
    belief: BeliefPolicy,
    data_digest: str,
    measured: dict[str, float],
) -> MotionSpec:
    """Puts the model file, which is in ``directory``, into the manifest there."""
    content = model.read_bytes()
    sample: Calibration = calibration.calm
    manifest = MotionSpec(
        name=NAME,
        version=version,
        model=ModelFile(file=model.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        input=InputSpec(
            name=INPUT,
            height=PLANE,
            width=PLANE,
            short_side=SHORT_SIDE,
            steady=True,
            focus=SIZE,
            delta_ms=DELTA_MS,
        ),
        output=OutputSpec(embedding=EMBEDDING_OUTPUT, embedding_size=EMBEDDING, logits=LOGITS_OUTPUT),
        window_ms=WINDOW_SAMPLES * STEP_MS - 1,
        categories=(
            Category(
                name="fight",
                sample=sample,
                head=head.window,
                window=calibration,
                thresholds=thresholds,
                belief=belief,
            ),
        ),
        data_digest=data_digest,
        measured=measured,
    )
    put_model(directory, manifest)
    return manifest
