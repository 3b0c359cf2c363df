"""From an int8 file to an entry of a pack: its calibration, its thresholds, what it was measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge.detect.manifest import ModelFile
from edge.detect.witness_specs import (
    FrameSpec,
    FrameTimes,
    RowOutput,
)
from models.train.record import put_model
from models.train.sight.choose import calibrate, category
from models.train.sight.export import LOGITS, SHAPE
from models.train.sight.index import Picture
from models.train.sight.measures import Values

NAME: Final = "firearm-lite0"
CARD: Final = "cards/firearm-lite0.md"


def ship(
    graph: Path,
    directory: Path,
    version: str,
    validation: Sequence[Picture],
    logits: Values,
    learnt: Sequence[Picture],
    measured: Mapping[str, float],
) -> FrameSpec:
    """Writes the file and its entry into the pack in ``directory``. Returns the entry.

    ``logits`` are those of the validation images, on which all thresholds rest. ``measured`` is of other
    images.
    """
    content = graph.read_bytes()
    file = f"{NAME}-int8.onnx"
    (directory / file).write_bytes(content)
    firearm = np.array([picture.firearm for picture in validation])
    spec = FrameSpec(
        kind="frame",
        name=NAME,
        version=version,
        model=ModelFile(file=file, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),
        licence="Apache-2.0",
        card=CARD,
        data_digest=hashlib.sha256("\n".join(sorted(one.key for one in learnt)).encode()).hexdigest(),
        measured=dict(measured),
        input=SHAPE,
        output=RowOutput(name=LOGITS, size=1),
        every=FrameTimes(),
        categories=(category(calibrate(firearm, logits), logits[~firearm]),),
    )
    put_model(directory, spec)
    return spec
