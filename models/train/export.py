"""A trained head and its backbone → the shipped ONNX file and manifest."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge.detect.manifest import (
    MANIFEST_NAME,
    Category,
    InputSpec,
    Manifest,
    ModelFile,
    OutputSpec,
    Thresholds,
    TierCalibration,
)
from edge.detect.manifest import Calibration as Calibration
from models.train.head import EMBEDDING, WINDOW_SAMPLES, Head
from models.train.network import FightNet
from models.train.quantise import quantise
from models.train.sampling import DELTA_MS, STEP_MS

NAME = "fight-lite0"
INPUT = "planes"
OUTPUTS = ("embedding", "logits")
OPSET = 17


def assemble(head: Head, size: int) -> FightNet:
    """The network with the head's weights in place, ready for export."""
    network = FightNet(size, EMBEDDING, 1).eval()
    with torch.no_grad():
        network.project.weight.copy_(torch.from_numpy(head.project_weight))
        network.project.bias.copy_(torch.from_numpy(head.project_bias))
        network.score.weight.copy_(torch.from_numpy(head.score_weight)[None])
        network.score.bias.fill_(head.score_bias)
    return network


def write_fp32(network: FightNet, size: int, target: Path) -> None:
    """The float graph, batch 1."""
    example = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    torch.onnx.export(
        network,
        (example,),
        str(target),
        input_names=[INPUT],
        output_names=list(OUTPUTS),
        opset_version=OPSET,
        dynamo=False,
    )


def write_model(
    network: FightNet,
    size: int,
    samples: Sequence[NDArray[np.uint8]],
    target: Path,
    keep_fp32: Path | None = None,
) -> None:
    """Exports, quantises and writes ``target``; ``keep_fp32`` keeps the float graph for comparison."""
    with tempfile.TemporaryDirectory() as scratch:
        source = keep_fp32 or Path(scratch) / "fp32.onnx"
        write_fp32(network, size, source)
        quantise(source, target, INPUT, samples)


def write_manifest(
    directory: Path,
    model: Path,
    *,
    size: int,
    version: str,
    head: Head,
    sample: Calibration,
    window: TierCalibration,
    thresholds: Thresholds,
    data_digest: str,
    measured: dict[str, float],
) -> Manifest:
    """Writes ``manifest.json`` for the model file, which is in ``directory``."""
    content = model.read_bytes()
    manifest = Manifest(
        schema_version=1,
        name=NAME,
        version=version,
        model=ModelFile(file=model.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        input=InputSpec(name=INPUT, height=size, width=size, delta_ms=DELTA_MS),
        output=OutputSpec(embedding=OUTPUTS[0], embedding_size=EMBEDDING, logits=OUTPUTS[1]),
        window_ms=WINDOW_SAMPLES * STEP_MS - 1,
        categories=(
            Category(name="fight", sample=sample, head=head.window, window=window, thresholds=thresholds),
        ),
        data_digest=data_digest,
        measured=measured,
    )
    (directory / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1) + "\n")
    return manifest
